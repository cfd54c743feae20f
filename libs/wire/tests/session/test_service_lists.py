"""Lists of services in control messages: they come out as they went in, or name the rule that is broken."""

import pytest

from towonel.wire.cbor import Fields
from towonel.wire.errors import Code, ProtocolError
from towonel.wire.names import ServiceKey, ServiceKind
from towonel.wire.session.service_lists import MAX_SERVICES, read_services, write_services


def test_services_come_out_as_they_went_in() -> None:
    services = (ServiceKey(ServiceKind.UDP, "my game"), ServiceKey(ServiceKind.HTTPS, "*.a.eu"))
    written = write_services(services)

    assert written == [["udp", "my game"], ["https", "*.a.eu"]]
    assert read_services(Fields({"services": written})) == services


@pytest.mark.parametrize(
    ("items", "code"),
    [
        (1, Code.MALFORMED),
        ([1], Code.MALFORMED),
        ([["https"]], Code.MALFORMED),
        ([["gopher", "a.eu"]], Code.MALFORMED),
        ([["tcp", "ssh"]] * (MAX_SERVICES + 1), Code.MALFORMED),
        ([["https", "single"]], Code.BAD_NAME),
    ],
)
def test_a_list_that_breaks_a_rule_is_refused(items: object, code: Code) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_services(Fields({"services": items}))

    assert caught.value.code is code
