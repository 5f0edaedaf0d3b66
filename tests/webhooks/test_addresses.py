"""Which addresses may be connected to."""

from whisper_service.webhooks import addresses

PUBLIC = ["8.8.8.8", "192.0.1.1", "198.17.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"]
RESERVED = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.1", "0.1.2.3", "10.0.0.1", "172.16.0.1"),
    *("172.31.255.255", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:7f00:1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1", "2001::1", "2001:10::1"),
    *("2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1", "4000::1", "5f00::1"),
]


def test_only_hosts_of_the_internet_are_public() -> None:
    assert [address for address in PUBLIC + RESERVED if addresses.is_public(address)] == PUBLIC


def test_odd_spellings_are_looked_up_as_the_address_that_they_mean() -> None:
    for spelling in ("0x7f.1", "2130706433", "017700000001", "127.1"):
        assert addresses.look_up(spelling, 80) == ["127.0.0.1"]
    (mapped,) = addresses.look_up("::ffff:7f00:1", 80)
    assert not addresses.is_public(mapped)
