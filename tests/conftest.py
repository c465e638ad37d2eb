"""The environment that `make` sets, for whoever calls pytest by hand: threads that wait must not spin, no tool calls home.

Set before torch is imported: with spinning threads the suite took ten times as long on two busy cores.
"""

from relayllm.settings import quiet

quiet()
