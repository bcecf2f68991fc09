// expect: is not marked with 'unsafe'
import Wire

func timeToLive(_ base: UnsafeMutableRawPointer) -> UInt8 {
  IPv4Header<ReadOnly>(unchecked: HeaderBytes(unchecked: base)).timeToLive
}
