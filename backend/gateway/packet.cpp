// SPDX-License-Identifier: MIT
#include "backend/gateway/packet.h"
