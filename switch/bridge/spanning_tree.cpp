// SPDX-License-Identifier: MIT
#include "switch/bridge/spanning_tree.h"

#include "switch/bridge/switch.h"

namespace lanyard {

void SpanningTree::receive(PortId in, const Frame& frame) {
  static_cast<void>(in);
  static_cast<void>(frame);
  bridge_.set_takes_bpdus(false);
}

}  // namespace lanyard
