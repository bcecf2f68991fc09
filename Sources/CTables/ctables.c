#include "ctables.h"

_Static_assert(__atomic_always_lock_free(sizeof(uint32_t), 0), "entries are replaced without a lock");
