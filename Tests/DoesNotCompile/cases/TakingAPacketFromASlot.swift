// expect: is not marked with 'unsafe'
import Dataplane

func packet(from slot: PacketSlot) -> Packet? { Packet(taking: slot) }
