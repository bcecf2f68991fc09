// expect: cannot borrow the lifetime of 'packet', which has consuming ownership on a function
import Dataplane
import Wire

func header(of packet: consuming Packet) -> IPv4Header<ReadOnly>? {
  packet.ipv4
}
