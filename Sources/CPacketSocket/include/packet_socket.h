/// AF_PACKET rings that deliver and send packet buffers.
#ifndef NFV_PACKET_SOCKET_H
#define NFV_PACKET_SOCKET_H

#include "cdpdk.h"

#endif
