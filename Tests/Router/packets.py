"""Packets for the differential test of Router, sound and malformed, the same for the same seed.

They are put together by hand: a library would not write most of what is wrong here.
"""
import ipaddress
import random
import struct

LAN, WAN = "lan", "wan"
ROUTER = {LAN: bytes.fromhex("020000000001"), WAN: bytes.fromhex("020000000002")}
HOST = {LAN: bytes.fromhex("02000000000a"), WAN: bytes.fromhex("0200000000fe")}
MTU = {LAN: 1500, WAN: 1400}
OWN4 = ["192.0.2.1", "198.51.100.1"]
OWN6 = ["2001:db8:1::1", "2001:db8:2::1", "fe80::ff:fe00:1", "fe80::ff:fe00:2"]
HOST4 = {LAN: "192.0.2.10", WAN: "198.51.100.254"}
HOST6 = {LAN: "2001:db8:1::a", WAN: "2001:db8:2::fe"}
LOCAL6 = {LAN: "fe80::a", WAN: "fe80::fe"}
# prefix: next hop (of its interface), or a kind of route
ROUTES = {
    "10.0.0.0/8": WAN, "10.1.0.0/16": LAN, "10.2.0.0/16": "blackhole", "10.3.0.0/16": "unreachable", "10.4.0.0/16": "prohibit",
    "172.16.0.0/12": WAN, "2001:db8:a::/48": WAN, "2001:db8:b::/48": LAN, "2001:db8:c::/48": "blackhole",
    "2001:db8:d::/48": "unreachable", "2001:db8:e::/48": "prohibit",
}


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    return ipaddress.ip_address(address).packed


def pseudo(source, destination, number, length):
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, number, length)
    return source + destination + struct.pack("!IBBBB", length, 0, 0, 0, number)


class Generator:
    """Cases: each is a side to send from, and frames that are sent one behind the other."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, one_in):
        return self.random.randrange(one_in) == 0

    def pick(self, *choices):
        return self.random.choice(choices)

    def case(self):
        side = self.pick(LAN, LAN, WAN)
        while True:
            packet, number = (self.ipv4 if self.random.random() < 0.5 else self.ipv6)(side)
            # The kernel's interface itself refuses what is longer than its MTU.
            if max(map(len, packet)) <= MTU[side]:
                break
        link = ROUTER[side]
        if self.chance(25):
            link = bytes.fromhex(self.pick("ffffffffffff", "01005e000001", "333300000001", "020000000077"))
        frames = [link + HOST[side] + struct.pack("!H", number) + one for one in packet]
        if self.chance(40):
            frames[0] = frames[0][:self.random.randrange(14, len(frames[0]) + 1)]
        return side, [frame.ljust(60, b"\0") if self.chance(3) else frame for frame in frames]

    def size(self):
        return self.pick(0, 1, 8, 18, 40, 200, 500, 1000, 1300, 1352, 1353, 1372, 1373, 1380, 1420, 1432)

    # Transport

    def transport(self, source, destination, is_ipv6):
        """A protocol number and bytes."""
        data = self.random.randbytes(self.size())
        wrong = 1 if self.chance(12) else 0
        kind = self.random.randrange(12)
        if kind < 4:
            length = 8 + len(data)
            stated = self.random.randrange(0, length + 20) if self.chance(15) else length
            header = struct.pack("!HHHH", self.random.randrange(1, 65536), self.pick(7, 53, 4789, 33434), stated, 0)
            total = checksum(pseudo(source, destination, 17, length) + header + data) or 0xFFFF
            total = 0 if self.chance(10) else total ^ wrong
            return 17, header[:6] + struct.pack("!H", total) + data
        if kind < 6:
            header = struct.pack("!HHIIBBHHH", 4000, 80, 1, 2, 0x50, self.pick(2, 16, 4, 0, 0xFF), 1000, 0, 0)
            total = checksum(pseudo(source, destination, 6, len(header + data)) + header + data) ^ wrong
            return 6, header[:16] + struct.pack("!H", total) + header[18:] + data
        if kind < 10:
            if is_ipv6:
                # Router and neighbour discovery, and group membership, are other tests' business.
                kinds, number = (128, 128, 129, 1, 2, 3, 4, 0, 100, 127, 138, 200, 255), 58
            else:
                kinds, number = (8, 8, 0, 3, 4, 11, 12, 13, 14, 15, 17, 30, 40, 200), 1
            header = struct.pack("!BBHHH", self.pick(*kinds), 0 if self.chance(2) else self.random.randrange(5), 0, 7, 9)
            # What errors quote is of nobody's, so that nothing is learned from them.
            prefix = pseudo(source, destination, 58, len(header + data)) if is_ipv6 else b""
            total = checksum(prefix + header + data) ^ wrong
            return number, header[:2] + struct.pack("!H", total) + header[4:] + data
        return self.pick(99, 253, 254, *((59,) if is_ipv6 else (88,))), data

    # IPv4

    def options4(self):
        good = [
            b"\x01\x01\x01\x00", b"\x94\x04\0\0", b"\x07\x07\x04\0\0\0\0\0", b"\x44\x08\x05\0\0\0\0\0", b"\x00\0\0\0",
            b"\x83\x07\x04" + packed("10.9.9.9") + b"\0", b"\x89\x07\x04" + packed("10.9.9.9") + b"\0",
            b"\x82\x0b" + bytes(9) + b"\0", b"\x88\x04\0\0", b"\x5e\x04\0\0", b"\xde\x04\0\0",
        ]
        bad = [b"\x94\x05\0\0", b"\x07\x00\x04\0", b"\x07\x01\x04\0", b"\x44\x28\x05\0", b"\x01\x01\x01\x94", b"\x5e\x09\0\0"]
        return self.pick(*(good if self.chance(2) else bad))

    def ipv4(self, side):
        odd = self.chance(8)
        low = self.random.randrange(1, 65_000)
        routed = self.pick("10.1", "10.9", "172.16") + f".{low >> 8}.{low & 255}"
        source = self.pick(HOST4[side], routed, routed) if not odd else self.pick(
            *OWN4, "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.1.2.3", "0.1.2.3", "203.0.113.5", "10.2.0.5")
        destination = self.pick("10.1.2.3", "10.200.2.3", "172.20.0.5", *OWN4, HOST4[LAN], HOST4[WAN]) if not self.chance(5) else self.pick(
            "10.2.0.1", "10.3.0.1", "10.4.0.1", "203.0.113.1", "192.0.2.255", "198.51.100.255", "192.0.2.0", "198.51.100.0",
            "255.255.255.255", "224.0.0.1", "239.1.2.3", "127.0.0.1", "0.0.0.0", "0.0.0.1", "240.1.1.1", *OWN4)
        source, destination = packed(source), packed(destination)
        number, data = self.transport(source, destination, False)
        options = self.options4() if self.chance(8) else b""
        data = data[:1500 - 20 - len(options)]
        ttl = self.pick(64, 64, 64, 2, 1, 0, 255)
        tos = self.random.randrange(256) if self.chance(3) else 0
        identification = self.random.randrange(65536)
        is_forbidden = self.chance(3)

        def packet(offset, more, data):
            flags = (0x4000 if is_forbidden else 0) | (0x2000 if more else 0) | offset // 8
            if self.chance(60):
                flags |= 0x8000
            length = 20 + len(options) + len(data)
            version, words = 4, 5 + len(options) // 4
            if self.chance(60):
                version = self.random.randrange(16)
            if self.chance(60):
                words = self.random.randrange(16)
            if self.chance(40):
                length = self.random.randrange(0, length + 10)
            header = struct.pack("!BBHHHBBH", version << 4 | words, tos, length, identification, flags, ttl, number, 0)
            header += source + destination + options
            total = checksum(header) ^ (1 if self.chance(40) else 0)
            return header[:10] + struct.pack("!H", total) + header[12:] + data

        kind = self.random.randrange(20)
        if kind == 0 and len(data) > 16:
            cut = max(8, len(data) // 2 // 8 * 8)
            pieces = [packet(0, True, data[:cut]), packet(cut, False, data[cut:])]
            return pieces[::-1] if self.chance(3) else pieces, 0x0800
        if kind == 1:
            return [packet(self.pick(8, 64, 1480, 65_528), self.chance(2), data)], 0x0800
        return [packet(0, False, data)], 0x0800

    # IPv6

    def options6(self):
        options = self.pick(
            b"\x01\x04\0\0\0\0", b"\0" * 6, b"\x05\x02\0\0\x01\0", b"\x1e\x04abcd", b"\x5e\x04abcd", b"\x9e\x04abcd",
            b"\xde\x04abcd", b"\x01\x09\0\0\0\0", b"\x1e\x02ab\x00\x00")
        return options

    def ipv6(self, side):
        odd = self.chance(8)
        source = self.pick(HOST6[side], HOST6[side], "2001:db8:a::6", "2001:db8:b::7") if not odd else self.pick(
            *OWN6[:2], "::", "::1", "ff02::1", "::ffff:10.1.2.3", LOCAL6[side], LOCAL6[side], "2001:db8:9::5", "2001:db8:c::5")
        destination = self.pick("2001:db8:a::1", "2001:db8:b::1", *OWN6[:2], HOST6[LAN], HOST6[WAN]) if not self.chance(5) else self.pick(
            "2001:db8:c::1", "2001:db8:d::1", "2001:db8:e::1", "2001:db8:9::1", "ff02::1", "ff02::2", "ff05::1", "ff0e::1",
            "::1", "::", "::ffff:10.1.2.3", LOCAL6[side], "fe80::77", "2001:db8:1::", *OWN6)
        source, destination = packed(source), packed(destination)
        number, data = self.transport(source, destination, True)
        limit = 1500 - 40
        chain = []
        if self.chance(6):
            for kind in self.random.choices((0, 60, 43, 44), k=self.random.randrange(1, 3)):
                if kind in (0, 60):
                    chain.append((kind, b"\0" + self.options6()))
                elif kind == 43:
                    chain.append((kind, b"\0" + bytes([self.pick(0, 1, 77), self.pick(0, 0, 1, 3), 0, 0, 0, 0])))
                else:
                    chain.append((kind, b"\0\0\0" + self.random.randbytes(4)))
            # Hop-by-hop options stand first, and once.
            chain = [one for one in chain if one[0] == 0][:1] + [one for one in chain if one[0] != 0]
        data = data[:limit - 8 * len(chain) - 8]

        def packet(chain, data):
            content = data
            following = number
            for kind, rest in reversed(chain):
                content = bytes([following]) + rest + content
                following = kind
            length = len(content)
            version = 6
            if self.chance(60):
                version = self.random.randrange(16)
            if self.chance(40):
                length = self.random.randrange(0, length + 10)
            word = version << 28 | traffic << 20 | self.random.randrange(1 << 20)
            return struct.pack("!IHBB", word, length, following, hops) + source + destination + content

        hops = self.pick(64, 64, 64, 2, 1, 0, 255)
        traffic = self.random.randrange(256) if self.chance(3) else 0
        kind = self.random.randrange(20)
        if kind == 0 and len(data) > 16:
            cut = max(8, len(data) // 2 // 8 * 8)
            mark = self.random.randbytes(4)
            first = (44, b"\0" + struct.pack("!H", 1) + mark)
            second = (44, b"\0" + struct.pack("!H", cut) + mark)
            pieces = [packet([first], data[:cut]), packet([second], data[cut:])]
            return pieces[::-1] if self.chance(3) else pieces, 0x86DD
        return [packet(chain, data)], 0x86DD
