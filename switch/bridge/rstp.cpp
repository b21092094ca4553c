// SPDX-License-Identifier: MIT
//
// What is asked of the engine from outside, and its clockwork.
#include "switch/bridge/rstp.h"

#include <algorithm>

namespace lanyard {
namespace {

constexpr Duration kTick = std::chrono::seconds(1);
// A second's worth of changes that may be flushed at once (per port), before the rest waits.
constexpr unsigned kFlushBurst = 4;
// More rounds than the machines of any bridge need to come to rest. Only a mistake in them would
// get here, and then a wrong tree is better than a daemon that stands still.
constexpr unsigned kRoundsMax = 10000;

constexpr std::uint16_t wire_time(unsigned seconds) {
  return static_cast<std::uint16_t>(seconds * TreeTimes::kSecond);
}

unsigned seconds_up(std::uint16_t wire, unsigned low, unsigned high) {
  return std::clamp((wire + TreeTimes::kSecond - 1U) / TreeTimes::kSecond, low, high);
}

void count(unsigned& timer) {
  if (timer != 0) --timer;
}

}  // namespace

Rstp::Rstp(const RstpSettings& settings, RstpActions& actions)
    : settings_(settings),
      actions_(actions),
      bridge_id_(BridgeId::of(settings.priority, settings.mac)),
      bridge_times_{0, wire_time(settings.max_age_s), wire_time(settings.hello_s),
                    wire_time(settings.forward_delay_s)},
      root_priority_{bridge_id_, 0, bridge_id_, 0},
      root_times_(bridge_times_) {}

// A peer may say anything; delays stay within what the standard allows (table 17-1), a little more
// for bridges whose users want it faster.
unsigned Rstp::fwd_delay() const {
  return seconds_up(root_times_.forward_delay, 2, 30);
}

unsigned Rstp::max_age() const {
  return seconds_up(root_times_.max_age, 4, 40);
}

Rstp::Port* Rstp::find(PortId id) {
  const auto at = ports_.find(id);
  return at == ports_.end() ? nullptr : at->second.get();
}

const RstpPort* Rstp::port(PortId id) const {
  const auto at = ports_.find(id);
  return at == ports_.end() ? nullptr : at->second.get();
}

unsigned Rstp::root_age_s() const {
  return root_port_ == nullptr ? 0 : root_port_->info_age_s;
}

bool Rstp::step(Port& p) {
  bool moved = port_receive(p);
  moved = port_protocol_migration(p) || moved;
  moved = bridge_detection(p) || moved;
  moved = port_information(p) || moved;
  moved = port_role_transitions(p) || moved;
  moved = port_state_transition(p) || moved;
  return topology_change(p) || moved;
}

// Messages go out when all else is at rest, so that they say where it came to.
void Rstp::run() {
  bool moved = true;
  for (unsigned round = 0; moved && round < kRoundsMax; ++round) {
    moved = false;
    for (const auto& [id, port] : ports_) moved = step(*port) || moved;
    moved = port_role_selection() || moved;
    if (moved) continue;
    for (const auto& [id, port] : ports_) moved = port_transmit(*port) || moved;
  }
}

void Rstp::tick(Time now) {
  const Time due = next_tick_.value_or(now);
  if (now < due - kTick / 2) return;
  next_tick_ = now - due > kTick ? now + kTick : due + kTick;
  for (const auto& [id, port] : ports_) count_down(*port);
  run();
}

// Port timers (17.22).
void Rstp::count_down(Port& p) {
  for (unsigned* const timer :
       {&p.edge_delay_while, &p.fd_while, &p.hello_when, &p.mdelay_while, &p.rb_while,
        &p.rcvd_info_while, &p.rr_while, &p.tc_while, &p.tx_count, &p.flushes}) {
    count(*timer);
  }
  if (p.info_is == Port::InfoIs::received) ++p.info_age_s;
  if (p.heard_while != 0 && --p.heard_while == 0) actions_.heard(p.id, false);
  if (p.flush_waits) flush(p);
}

void Rstp::flush(Port& p) {
  p.flush_waits = p.flushes >= kFlushBurst;
  if (p.flush_waits) return;
  ++p.flushes;
  actions_.flush(p.id);
}

void Rstp::receive(PortId id, const Bpdu& bpdu) {
  Port* const found = find(id);
  if (found == nullptr || !found->enabled()) return;
  Port& p = *found;
  if (p.bpdu_guard) {
    p.closed = true;
    actions_.guarded(id, "closed: a BPDU came in at a port that must not have any (BPDU guard)");
    return run();
  }
  // 9.3.4: its own message that came back.
  if (bpdu.kind != Bpdu::Kind::topology_change_notification && bpdu.priority.bridge == bridge_id_ &&
      bpdu.priority.port == p.port_id) {
    return;
  }
  if (p.heard_while == 0) actions_.heard(id, true);
  p.heard_while = 3 * std::max(hello_time(), seconds_up(bpdu.times.hello, 1, 10));
  p.fstp = bpdu.fstp;
  p.message = bpdu;
  p.rcvd_bpdu = true;
  run();
}

void Rstp::add_port(PortId id) {
  if (ports_.contains(id)) return;
  Port& p = *ports_.emplace(id, std::make_unique<Port>(id)).first->second;
  // BEGIN (17.18.1), as far as it is not what a port is born with.
  p.edge_delay_while = kMigrateTime;
  p.mdelay_while = kMigrateTime;
  p.send_rstp = !settings_.old_protocol;
  p.oper_edge = p.admin_edge;
  p.sync = p.re_root = true;
  p.rr_while = fwd_delay();
  p.fd_while = max_age();
  actions_.set_state(id, PortState::discarding);
  information_disabled(p);
  run();
}

void Rstp::remove_port(PortId id) {
  set_link(id, false);
  ports_.erase(id);
}

void Rstp::set_link(PortId id, bool up) {
  Port* const p = find(id);
  if (p == nullptr || p->link_up == up) return;
  p->link_up = up;
  p->closed = false;
  p->fstp = false;
  if (!up && p->heard_while != 0) {
    p->heard_while = 0;
    actions_.heard(id, false);
  }
  // Not all at once with the next event: DISCARD, CHECKING_RSTP and NOT_EDGE are for a port that
  // is down, and it may be up again before the machines run.
  run();
}

void Rstp::set_priority(std::uint16_t priority) {
  if (bridge_id_.priority() == priority) return;
  bridge_id_ = BridgeId::of(priority, settings_.mac);
  if (root_port_ == nullptr) root_priority_ = {bridge_id_, 0, bridge_id_, 0};
  for (const auto& [id, port] : ports_) reselect(*port);
  run();
}

void Rstp::set_path_cost(PortId id, std::uint32_t cost) {
  Port* const p = find(id);
  if (p == nullptr || p->path_cost == cost) return;
  p->path_cost = cost;
  reselect(*p);
  run();
}

// The standard lets the setting act at the next link up. An operator who says that a running port
// is an edge means it now, unless a bridge is heard there.
void Rstp::set_admin_edge(PortId id, bool edge) {
  Port* const p = find(id);
  if (p == nullptr || p->admin_edge == edge) return;
  p->admin_edge = edge;
  if (!edge || p->heard_while == 0) p->oper_edge = edge;
  run();
}

void Rstp::set_point_to_point(PortId id, bool point_to_point) {
  Port* const p = find(id);
  if (p == nullptr) return;
  p->point_to_point = point_to_point;
  run();
}

void Rstp::set_bpdu_guard(PortId id, bool guard) {
  Port* const p = find(id);
  if (p == nullptr) return;
  p->bpdu_guard = guard;
  if (!guard) p->closed = false;
  run();
}

void Rstp::set_root_guard(PortId id, bool guard) {
  Port* const p = find(id);
  if (p == nullptr || p->root_guard == guard) return;
  p->root_guard = guard;
  reselect(*p);
  run();
}

void Rstp::check_migration(PortId id) {
  Port* const p = find(id);
  if (p == nullptr) return;
  p->mcheck = true;
  run();
}

}  // namespace lanyard
