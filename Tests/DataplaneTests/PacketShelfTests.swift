import Dataplane
import TestKit
import Testing

@Suite struct PacketShelfTests {
  @Test func packetsAreTakenInAnyOrder() throws {
    try withTestPool { pool in
      var shelf = PacketShelf(capacity: 3)
      let numbers = (0..<3).map { shelf.put(pool.packet(Frame([UInt8($0)]))) }
      #expect(Set(numbers).count == 3)
      let isFull = shelf.isFull
      #expect(isFull)
      for number in [1, 0, 2] {
        guard let packet = shelf.take(numbers[number]) else {
          Issue.record("packet \(number) is gone")
          continue
        }
        #expect(packet.copyBytes() == [UInt8(number)])
        pool.free(packet)
      }
      let count = shelf.count
      #expect(count == 0)
      for number in [0, -1, 3] {
        guard let packet = shelf.take(number) else { continue }
        Issue.record("there is a packet \(number)")
        pool.free(packet)
      }
    }
  }

  @Test func whatIsLeftIsFreed() throws {
    try withTestPool { pool in
      var shelf = PacketShelf(capacity: 2)
      _ = shelf.put(pool.packet(Frame([1])))
      _ = shelf.put(pool.packet(Frame([2])))
      #expect(pool.used == 2)
    }
  }
}
