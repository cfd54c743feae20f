"""Result of a hop: one integer, of which a message that went its way whole has only the count.

 41       40       39        20 19         0
+-------+--------+-------------+-----------+
| parse | broken | unsent      | count     |   or NOTHING, or FAILED
+-------+--------+-------------+-----------+
count: bytes received; 0 if the source has ended
unsent: bytes of what was to be sent that the target did not take
broken: the target failed, and took nothing
parse: what came is not one whole message; nothing was sent
"""

from typing import Final

NOTHING: Final = -1  # has come
FAILED: Final = -2  # the source
COUNT: Final = 0xFFFFF
UNSENT_SHIFT: Final = 20
BROKEN: Final = 1 << 40
PARSE: Final = 1 << 41
