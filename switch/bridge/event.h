// SPDX-License-Identifier: MIT
//
// What the bridge tells whoever listens: the daemon (log), the console's debug streams, later the
// event stream of the management socket. The bridge calls down an interface and knows none of them.
// Lane thread only.
#pragma once

#include <cstdint>
#include <string_view>

#include "switch/bridge/drop.h"
#include "switch/bridge/port_set.h"
#include "switch/frame/ethernet.h"

namespace lanyard {

struct Event {
  enum class Kind : std::uint8_t {
    mac_learned,
    mac_forgotten,
    mac_moved,  // seen on `other` while it belonged to `port`; moved or held back
    port_added,
    port_emptied,  // its last endpoint left
    port_described,
    endpoint_added,
    endpoint_removed,
    tree_heard,     // BPDUs come in at the port now
    tree_silent,    // no more
    tree_status,    // `text` is the port's new state in `vlan`
    tree_root,      // `text` is the new root of `vlan`, `port` the way there (0: the switch itself)
    tree_guarded,   // a guard of the spanning tree acted; `text` says what
    link_changed,   // an operator or a guard pulled or plugged in the cable of a port
    guard_dropped,  // `count` frames for the reason `why`, the last one from `mac`
    guard_shut,     // the port's cable is pulled because of such a frame
  };

  Kind kind = Kind::mac_learned;
  PortId port = kPortNone;
  PortId other = kPortNone;
  int endpoint_id = -1;
  MacAddress mac;
  VlanId vlan = 0;
  Drop why = Drop::none;
  std::uint64_t count = 0;
  std::string_view text;  // a description, as the client gave it
};

class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on_event(const Event& event) = 0;
  // Whether anybody wants per-address events: they happen per frame and cost when told.
  virtual bool wants_mac_events() const { return false; }
};

}  // namespace lanyard
