"""The design that people write first: what Cascade is compared with by `make bench PART=peers`.

A task per hop, a countdown for each TTL, a task per receipt, a row at a time through pooled
sessions. It keeps none of Cascade's promises.
"""
