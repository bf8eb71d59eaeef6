from tests.deploy.conftest import *
from tests.deploy import running as R
from tests.acceptance.processes import family
import json, os
def pss(pid):
    t={}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        k,_,v=line.partition(":"); t[k]=int(v.split()[0]) if v.split() else 0
    return t["Pss"], t["Rss"]
R.sys = type("S",(),{"executable":"/tmp/g-img/opt/bin/python"})
def test_rss(machine, compose):
    out=[]
    for i in range(6):
        r=machine.run(compose["vk"], ["cascade","send","--to",f"+7916{i}000000"[:7]+"44441","--text","Код подтверждения: 1234. Никому его не сообщайте.","--wait","--timeout","40","--json"])
        out.append((r.returncode,r.stdout))
    rows={}
    for n,r in sorted(machine.started.items()):
        ps=[pss(p.pid) for p in family(r.process.pid)]
        rows[n]=(len(ps), sum(p for p,_ in ps)//1024, sum(q for _,q in ps)//1024)
    Path("/tmp/g_rss.json").write_text(json.dumps([rows,out]))
    print(machine.stop())
