"""Jobs on the machines of a Ray cluster.

The server talks to a process of its own, the driver, since Ray ends the process that uses it when the cluster is gone.
The driver books places and asks the supervisor of each node, an actor, which runs the jobs there.
"""
