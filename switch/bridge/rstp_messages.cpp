// SPDX-License-Identifier: MIT
//
// What comes in and goes out: the port receive (IEEE 802.1D-2004, 17.23), port protocol migration
// (17.24), bridge detection (17.25) and port transmit (17.26) machines.
#include "switch/bridge/rstp.h"

namespace lanyard {
namespace {

using Migration = RstpPort::Migration;

void start_migration(RstpPort& p, Migration state, bool send_rstp) {
  p.migration = state;
  p.send_rstp = send_rstp;
  p.mdelay_while = Rstp::kMigrateTime;
}

void sense(RstpPort& p) {
  p.migration = Migration::sensing;
  p.rcvd_rstp = p.rcvd_stp = false;
}

}  // namespace

bool Rstp::port_receive(Port& p) {
  if (!p.enabled()) {
    if (!p.rcvd_bpdu && p.edge_delay_while == kMigrateTime) return false;
    // DISCARD
    p.rcvd_bpdu = p.rcvd_rstp = p.rcvd_stp = p.rcvd_msg = false;
    p.edge_delay_while = kMigrateTime;
    return true;
  }
  if (!p.rcvd_bpdu || p.rcvd_msg) return false;
  // RECEIVE, with updtBPDUVersion (17.21.22)
  (p.message.kind == Bpdu::Kind::rapid ? p.rcvd_rstp : p.rcvd_stp) = true;
  p.oper_edge = p.rcvd_bpdu = false;
  p.rcvd_msg = true;
  p.edge_delay_while = kMigrateTime;
  return true;
}

bool Rstp::port_protocol_migration(Port& p) {
  switch (p.migration) {
    case Migration::checking_rstp:
      if (p.mdelay_while == 0) {
        sense(p);
        return true;
      }
      if (p.enabled() || p.mdelay_while == kMigrateTime) return false;
      break;
    case Migration::sensing:
      if (p.enabled() && !p.mcheck && p.send_rstp && p.rcvd_stp) {
        start_migration(p, Migration::selecting_stp, false);
        return true;
      }
      if (p.enabled() && !p.mcheck && (p.send_rstp || settings_.old_protocol || !p.rcvd_rstp)) {
        return false;
      }
      break;
    case Migration::selecting_stp:
      if (p.mdelay_while != 0 && p.enabled() && !p.mcheck) return false;
      sense(p);
      return true;
  }
  p.mcheck = false;
  start_migration(p, Migration::checking_rstp, !settings_.old_protocol);
  return true;
}

// The machine's state is operEdge itself.
bool Rstp::bridge_detection(Port& p) {
  const bool before = p.oper_edge;
  if (!p.enabled()) {
    p.oper_edge = p.admin_edge;
  } else if (p.edge_delay_while == 0 && p.auto_edge && p.send_rstp && p.proposing &&
             p.heard_while == 0) {
    p.oper_edge = true;
  }
  return p.oper_edge != before;
}

bool Rstp::port_transmit(Port& p) {
  if (!p.enabled()) {
    p.new_info = false;
    p.tx_count = 0;
    return false;
  }
  if (!p.selected || p.updt_info) return false;
  const bool designated = p.role == PortRole::designated;
  const bool root = p.role == PortRole::root;
  if (p.hello_when == 0) {  // TRANSMIT_PERIODIC
    // FSTP ports speak in every role, and take silence for a cut cable.
    p.new_info = p.new_info || designated || (root && p.tc_while != 0) || p.fstp;
    p.hello_when = hello_time();
    return true;
  }
  if (!p.new_info || p.tx_count >= settings_.transmit_hold) return false;
  if (p.send_rstp) {  // TRANSMIT_RSTP
    p.new_info = false;
    transmit(p, Bpdu::Kind::rapid);
    p.tc_ack = false;
  } else if (designated) {  // TRANSMIT_CONFIG
    p.new_info = false;
    transmit(p, Bpdu::Kind::configuration);
    p.tc_ack = false;
  } else if (root) {  // TRANSMIT_TCN
    p.new_info = false;
    transmit(p, Bpdu::Kind::topology_change_notification);
  } else {
    return false;
  }
  ++p.tx_count;
  p.hello_when = hello_time();
  return true;
}

// txConfig, txRstp, txTcn (17.21.18 to 17.21.20).
void Rstp::transmit(Port& p, Bpdu::Kind kind) {
  Bpdu bpdu;
  bpdu.kind = kind;
  if (kind != Bpdu::Kind::topology_change_notification) {
    bpdu.topology_change = p.tc_while != 0;
    bpdu.priority = p.sent_priority = p.designated_priority;
    bpdu.times = p.designated_times;
    bpdu.acknowledgment = kind == Bpdu::Kind::configuration && p.tc_ack;
  }
  if (kind == Bpdu::Kind::rapid) {
    bpdu.fstp = p.fstp;
    bpdu.numbers = p.numbers;
    bpdu.role = p.role;
    bpdu.proposal = p.proposing;
    bpdu.learning = p.learning;
    bpdu.forwarding = p.forwarding;
    // FSTP agrees with whatever it says but for its very first message.
    bpdu.agreement = p.agree || (p.fstp && (p.forwarding || p.role != PortRole::designated));
  }
  actions_.send_bpdu(p.id, bpdu);
}

}  // namespace lanyard
