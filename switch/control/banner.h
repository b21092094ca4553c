// SPDX-License-Identifier: MIT
//
// How the switch introduces itself to programs that expect VDE: vdeterm, unixcmd and scripts look
// for two lines of this shape and then for the prompt. The second line says whose work this is.
#pragma once

#include <string_view>

#include "switch/base/version.h"

namespace lanyard {

constexpr std::string_view kBanner =
    "VDE switch V.2.3.2\n"
    "(C) the Lanyard authors, Lanyard " LANYARD_VERSION " - MIT\n";

constexpr std::string_view kPrompt = "\nvde$ ";

}  // namespace lanyard
