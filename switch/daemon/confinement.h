// SPDX-License-Identifier: MIT
//
// The switch process's sandbox: what it still may do when everything that its command line asks for
// is open, while it carries frames.
//
// What makes it hard is that a console can ask for anything: scripts to load, plugins, captures. A
// switch that is confined takes no plugin and loads no script from elsewhere any more; that is why
// it is asked for (--sandbox) and no default under vde_switch's name.
#pragma once

#include "switch/base/sandbox.h"
#include "switch/daemon/options.h"

namespace lanyard {

SandboxPolicy switch_sandbox(const DaemonOptions& options);

}  // namespace lanyard
