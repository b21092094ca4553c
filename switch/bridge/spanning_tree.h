// SPDX-License-Identifier: MIT
//
// The spanning tree of a switch: one tree a VLAN. Lane thread only.
#pragma once

#include "switch/bridge/port_set.h"
#include "switch/frame/frame.h"

namespace lanyard {

class Switch;

class SpanningTree {
 public:
  explicit SpanningTree(Switch& bridge) : bridge_(bridge) {}

  // A frame to the bridges' group address that came in at the port, in the VLAN of the frame.
  void receive(PortId in, const Frame& frame);

 private:
  Switch& bridge_;
};

}  // namespace lanyard
