#include "packet_socket.h"
