import Commands
import Dataplane
import Sieve

Program.main(elements: [ElementKind(Sieve.self)])
