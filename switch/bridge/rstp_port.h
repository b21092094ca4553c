// SPDX-License-Identifier: MIT
//
// What the Rapid Spanning Tree Protocol keeps of one port (IEEE 802.1D-2004, 17.17 to 17.19): the
// standard's variables under its names, timers in seconds, and the state each machine is in. Only
// the engine (rstp.h) writes them.
#pragma once

#include <cstdint>
#include <optional>

#include "switch/bridge/bpdu.h"
#include "switch/bridge/port_set.h"
#include "switch/bridge/vlan_table.h"

namespace lanyard {

struct RstpPort {
  explicit RstpPort(PortId number)
      // Sixteen bits for numbers of which the standard knows twelve: unique for all of ours, and
      // as it says (priority 128) for those up to 4095.
      : id(number), port_id(static_cast<std::uint16_t>(0x8000U + number)) {}

  PortId id;
  std::uint16_t port_id;  // 17.19.19

  // What is configured.
  std::uint32_t path_cost = 20000000;
  bool admin_edge = false;
  bool auto_edge = true;
  bool point_to_point = true;  // operPointToPointMAC
  bool bpdu_guard = false;
  bool root_guard = false;

  bool link_up = false;
  bool closed = false;    // by the BPDU guard
  bool withheld = false;  // from becoming root, by the root guard, right now
  bool enabled() const { return link_up && !closed; }  // portEnabled

  // Timers (17.17).
  unsigned edge_delay_while = 0;
  unsigned fd_while = 0;
  unsigned hello_when = 0;
  unsigned mdelay_while = 0;
  unsigned rb_while = 0;
  unsigned rcvd_info_while = 0;
  unsigned rr_while = 0;
  unsigned tc_while = 0;

  // Variables (17.19).
  enum class InfoIs : std::uint8_t { disabled, aged, mine, received };
  InfoIs info_is = InfoIs::disabled;
  PortRole role = PortRole::disabled;
  PortRole selected_role = PortRole::disabled;
  PriorityVector port_priority;
  PriorityVector designated_priority;
  PriorityVector msg_priority;
  PriorityVector sent_priority;    // what the neighbour was told last; not in the standard
  PriorityVector doubtful_answer;  // what it said when it last agreed; nor is this
  Bpdu::Numbers numbers;           // of what is said here, and was heard
  TreeTimes port_times;
  TreeTimes designated_times;
  TreeTimes msg_times;
  Bpdu message;  // the one being looked at
  bool agree = false;
  bool agreed = false;
  bool disputed = false;
  bool forward = false;
  bool forwarding = false;
  bool learn = false;
  bool learning = false;
  bool mcheck = false;
  bool new_info = false;
  bool oper_edge = false;
  bool proposed = false;
  bool proposing = false;
  bool rcvd_bpdu = false;
  bool rcvd_msg = false;
  bool rcvd_rstp = false;
  bool rcvd_stp = false;
  bool rcvd_tc = false;
  bool rcvd_tc_ack = false;
  bool rcvd_tcn = false;
  bool re_root = false;
  bool reselect = false;
  bool selected = false;
  bool send_rstp = true;
  bool sync = false;
  bool synced = false;
  bool tc_ack = false;
  bool tc_prop = false;
  bool updt_info = false;
  unsigned tx_count = 0;

  // States of the machines.
  enum class Migration : std::uint8_t { checking_rstp, sensing, selecting_stp };
  // The others are left as soon as they are entered, and are functions.
  enum class Information : std::uint8_t { disabled, aged, current };
  enum class Received : std::uint8_t {
    superior_designated,
    repeated_designated,
    inferior_designated,
    inferior_root_alternate,
    retired_designated,  // not in the standard: the neighbour takes back what it said
    other
  };
  enum class TopologyChange : std::uint8_t { inactive, learning, active };
  Migration migration = Migration::checking_rstp;
  Information information = Information::disabled;
  bool blocked = false;  // in DISABLED_PORT or ALTERNATE_PORT, no longer on the way there
  PortState state = PortState::discarding;
  TopologyChange change = TopologyChange::inactive;

  // Beyond the standard.
  bool fstp = false;         // the neighbour speaks the dialect
  unsigned heard_while = 0;  // BPDUs count as coming in
  unsigned info_age_s = 0;   // since the information was last heard
  unsigned flushes = 0;      // done and not yet allowed again
  bool flush_waits = false;
};

}  // namespace lanyard
