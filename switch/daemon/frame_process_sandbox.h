// SPDX-License-Identifier: MIT
//
// What every process may do that carries guests' frames and has consoles and clients: the switch
// alone (confinement.h) and the daemon of networks (networks_confinement.h) add what is theirs.
// One list, because two would drift apart, and each call in it is one that a taken-over process
// has. Values only.
#pragma once

#include "switch/base/sandbox.h"

namespace lanyard {

// Of the calling process.
SandboxPolicy frame_process_sandbox(bool busy_poll);

}  // namespace lanyard
