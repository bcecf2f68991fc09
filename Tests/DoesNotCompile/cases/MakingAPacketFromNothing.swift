// expect: missing argument for parameter 'taking' in call
import Dataplane

func packet() -> Packet { Packet() }
