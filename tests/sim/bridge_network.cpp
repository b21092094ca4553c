// SPDX-License-Identifier: MIT
#include "tests/sim/bridge_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace lanyard::testing {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kFar = std::numeric_limits<std::uint64_t>::max();

double in_seconds(Duration time) {
  return std::chrono::duration<double>(time).count();
}

}  // namespace

void BridgeNetwork::Bridge::send_bpdu(PortId port, const Bpdu& bpdu) {
  const std::size_t index_of_cable = cable_of[port];
  const Cable& cable = network->cables_[index_of_cable];
  if (!cable.up) return;
  const Cable::End& far = cable.ends[cable.ends[0].bridge == index && cable.ends[0].port == port];
  Time at = network->now_ + network->between(microseconds(10), milliseconds(2));
  at = std::max(at, last_arrival[port] + microseconds(1));
  last_arrival[port] = at;
  ++network->messages_;
  network->post({at, 0, Event::Kind::message, far.bridge, far.port, false,
                 network->generations_[index_of_cable], bpdu});
}

void BridgeNetwork::Bridge::set_state(PortId port, PortState state) {
  if (state == PortState::forwarding && states[port] != state) network->opened_ = true;
  states[port] = state;
}

std::size_t BridgeNetwork::add_bridge(const BridgeSettings& settings) {
  auto bridge = std::make_unique<Bridge>();
  bridge->network = this;
  bridge->index = bridges_.size();
  bridge->settings.mac = MacAddress::from_number(0x020000000001 + bridges_.size());
  bridge->settings.priority = settings.priority;
  bridge->settings.max_age_s = settings.max_age_s;
  bridge->settings.forward_delay_s = settings.forward_delay_s;
  bridge->settings.old_protocol = settings.old_protocol;
  bridge->cable_of.resize(1);
  bridge->states.resize(1);
  bridge->last_arrival.resize(1);
  start_engine(*bridge);
  bridges_.push_back(std::move(bridge));
  post({now_ + between(Duration(1), seconds(1)),
        0,
        Event::Kind::tick,
        bridges_.size() - 1,
        0,
        false,
        0,
        {}});
  return bridges_.size() - 1;
}

void BridgeNetwork::start_engine(Bridge& bridge) {
  bridge.engine = std::make_unique<Rstp>(bridge.settings, bridge);
  for (PortId port = 1; port < bridge.cable_of.size(); ++port) {
    bridge.engine->add_port(port);
    bridge.engine->set_path_cost(port, cost_at(bridge, port));
  }
}

std::uint32_t BridgeNetwork::cost_at(const Bridge& bridge, PortId port) const {
  const Cable& cable = cables_[bridge.cable_of[port]];
  return cable.costs[cable.ends[0].bridge == bridge.index && cable.ends[0].port == port ? 0 : 1];
}

std::size_t BridgeNetwork::add_cable(std::size_t a, std::size_t b, std::uint32_t cost_a,
                                     std::uint32_t cost_b) {
  Cable cable{{}, false, {cost_a, cost_b}};
  for (std::size_t end = 0; end < 2; ++end) {
    Bridge& bridge = *bridges_[end == 0 ? a : b];
    const auto port = static_cast<PortId>(bridge.cable_of.size());
    cable.ends[end] = {bridge.index, port};
    bridge.cable_of.push_back(cables_.size());
    bridge.states.push_back(PortState::discarding);
    bridge.last_arrival.push_back(Time(0));
    bridge.engine->add_port(port);
    bridge.engine->set_path_cost(port, cable.costs[end]);
  }
  cables_.push_back(cable);
  generations_.push_back(0);
  return cables_.size() - 1;
}

void BridgeNetwork::set_cable(std::size_t index, bool up) {
  Cable& cable = cables_[index];
  if (up && (!bridges_[cable.ends[0].bridge]->alive || !bridges_[cable.ends[1].bridge]->alive)) {
    return;
  }
  if (cable.up == up) return;
  cable.up = up;
  ++generations_[index];
  opened_ = opened_ || up;
  for (const Cable::End& end : cable.ends) tell_end(end, up);
}

void BridgeNetwork::tell_end(const Cable::End& end, bool up) {
  Bridge& bridge = *bridges_[end.bridge];
  Time at = now_ + between(Duration(0), milliseconds(10));
  post({at,
        0,
        Event::Kind::link,
        end.bridge,
        end.port,
        up,
        generations_[bridge.cable_of[end.port]],
        {}});
}

void BridgeNetwork::set_alive(std::size_t index, bool alive) {
  Bridge& bridge = *bridges_[index];
  if (bridge.alive == alive) return;
  if (alive) {
    bridge.alive = true;
    start_engine(bridge);
  }
  for (PortId port = 1; port < bridge.cable_of.size(); ++port) {
    set_cable(bridge.cable_of[port], alive);
  }
  bridge.alive = alive;
}

void BridgeNetwork::post(Event event) {
  event.order = order_++;
  events_.push(std::move(event));
}

void BridgeNetwork::run_until(Time end) {
  while (!events_.empty() && events_.top().at <= end) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.at;
    handle(event);
    if (opened_) count_frames();
  }
  now_ = end;
}

void BridgeNetwork::handle(const Event& event) {
  Bridge& bridge = *bridges_[event.bridge];
  if (event.kind == Event::Kind::tick) {
    if (bridge.alive) bridge.engine->tick(now_);
    // Clocks differ by a little.
    post({now_ + between(milliseconds(995), milliseconds(1005)),
          0,
          Event::Kind::tick,
          event.bridge,
          0,
          false,
          0,
          {}});
    return;
  }
  if (!bridge.alive) return;
  if (event.generation != generations_[bridge.cable_of[event.port]]) return;
  if (event.kind == Event::Kind::link) {
    // A cable that was cut and mended in between was down.
    bridge.engine->set_link(event.port, false);
    bridge.engine->set_link(event.port, event.up);
    return;
  }
  if (bridge.settings.old_protocol && event.bpdu.kind == Bpdu::Kind::rapid) return;
  bridge.engine->receive(event.port, event.bpdu);
}

bool BridgeNetwork::carries(std::size_t index) const {
  const Cable& cable = cables_[index];
  if (!cable.up) return false;
  return std::all_of(std::begin(cable.ends), std::end(cable.ends), [&](const Cable::End& end) {
    const Bridge& bridge = *bridges_[end.bridge];
    return bridge.alive && bridge.states[end.port] == PortState::forwarding;
  });
}

// One broadcast from a bridge in each part: who gets it, and how often.
void BridgeNetwork::count_frames() {
  opened_ = false;
  if (!loop_.empty()) return;
  ++floods_;
  std::vector<unsigned> copies(bridges_.size(), 0);
  for (std::size_t from = 0; from < bridges_.size(); ++from) {
    if (copies[from] == 0 && bridges_[from]->alive && !flood_from(from, copies)) {
      loop_ = fmt::format("at {:.6f} s a frame circulates:\n{}", in_seconds(now_), describe());
      return;
    }
  }
}

bool BridgeNetwork::flood_from(std::size_t from, std::vector<unsigned>& copies) {
  struct Hop {
    std::size_t bridge;
    std::size_t by;  // cable
  };
  std::vector<Hop> frames{{from, cables_.size()}};
  copies[from] = 1;
  while (!frames.empty()) {
    const Hop hop = frames.back();
    frames.pop_back();
    const Bridge& bridge = *bridges_[hop.bridge];
    for (PortId port = 1; port < bridge.cable_of.size(); ++port) {
      const std::size_t out = bridge.cable_of[port];
      if (out == hop.by || !carries(out)) continue;
      const Cable& cable = cables_[out];
      const std::size_t far =
          cable.ends[cable.ends[0].bridge == hop.bridge && cable.ends[0].port == port].bridge;
      if (++copies[far] > 1) return false;
      frames.push_back({far, out});
    }
  }
  return true;
}

std::vector<std::vector<std::size_t>> BridgeNetwork::parts() const {
  std::vector<std::vector<std::size_t>> all;
  std::vector<bool> seen(bridges_.size());
  for (std::size_t start = 0; start < bridges_.size(); ++start) {
    if (seen[start] || !bridges_[start]->alive) continue;
    std::vector<std::size_t> part{start};
    seen[start] = true;
    for (std::size_t i = 0; i < part.size(); ++i) {
      const Bridge& bridge = *bridges_[part[i]];
      for (PortId port = 1; port < bridge.cable_of.size(); ++port) {
        const Cable& cable = cables_[bridge.cable_of[port]];
        if (!cable.up) continue;
        for (const Cable::End& end : cable.ends) {
          if (seen[end.bridge]) continue;
          seen[end.bridge] = true;
          part.push_back(end.bridge);
        }
      }
    }
    all.push_back(std::move(part));
  }
  return all;
}

std::vector<std::uint64_t> BridgeNetwork::distances_from(std::size_t root) const {
  std::vector<std::uint64_t> far(bridges_.size(), kFar);
  far[root] = 0;
  for (bool shorter = true; shorter;) {
    shorter = false;
    for (const Cable& cable : cables_) {
      if (!cable.up) continue;
      for (std::size_t end = 0; end < 2; ++end) {
        const std::uint64_t before = far[cable.ends[1 - end].bridge];
        std::uint64_t& here = far[cable.ends[end].bridge];
        if (before == kFar || before + cable.costs[end] >= here) continue;
        here = before + cable.costs[end];
        shorter = true;
      }
    }
  }
  return far;
}

std::string BridgeNetwork::flaw_of_part(const std::vector<std::size_t>& part) const {
  const auto lower = [&](std::size_t a, std::size_t b) {
    return engine(a).bridge_id() < engine(b).bridge_id();
  };
  const std::size_t root = *std::min_element(part.begin(), part.end(), lower);
  const std::vector<std::uint64_t> far = distances_from(root);
  for (const std::size_t bridge : part) {
    if (engine(bridge).root() != engine(root).bridge_id()) {
      return fmt::format("bridge {} takes {} for its root", bridge, engine(bridge).root().text());
    }
    if (engine(bridge).root_cost() != far[bridge]) {
      return fmt::format("bridge {} is {} from the root, not {}", bridge, far[bridge],
                         engine(bridge).root_cost());
    }
  }
  std::size_t branches = 0;
  for (std::size_t i = 0; i < cables_.size(); ++i) {
    const Cable& cable = cables_[i];
    if (!cable.up || std::find(part.begin(), part.end(), cable.ends[0].bridge) == part.end()) {
      continue;
    }
    for (const Cable::End& end : cable.ends) {
      const Bridge& bridge = *bridges_[end.bridge];
      if (bridge.states[end.port] == PortState::learning) return "a port is still learning";
      const PortRole role = bridge.engine->port(end.port)->role;
      const bool open = role == PortRole::root || role == PortRole::designated;
      if (open != (bridge.states[end.port] == PortState::forwarding)) {
        return fmt::format("port {} of bridge {} has no state that fits its role", end.port,
                           end.bridge);
      }
    }
    branches += carries(i);
  }
  if (branches != part.size() - 1) {
    return fmt::format("{} bridges and {} open cables", part.size(), branches);
  }
  return "";
}

std::string BridgeNetwork::flaw() const {
  for (const auto& part : parts()) {
    if (std::string text = flaw_of_part(part); !text.empty()) return text;
  }
  return "";
}

std::optional<Duration> BridgeNetwork::converge(Duration most) {
  const Time start = now_;
  while (now_ - start <= most) {
    run(milliseconds(50));
    if (flaw().empty()) return now_ - start;
  }
  return std::nullopt;
}

std::string BridgeNetwork::describe() const {
  constexpr const char* kRoles[] = {"disabled", "root", "designated", "alternate", "backup"};
  constexpr const char* kStates[] = {"discarding", "learning", "forwarding"};
  std::string text;
  for (std::size_t i = 0; i < cables_.size(); ++i) {
    const Cable& cable = cables_[i];
    text += fmt::format("  cable {} ({}):", i, cable.up ? "up" : "down");
    for (const Cable::End& end : cable.ends) {
      const RstpPort& port = *engine(end.bridge).port(end.port);
      text += fmt::format(" {}.{} {} {}", end.bridge, end.port,
                          kRoles[static_cast<std::size_t>(port.role)],
                          kStates[static_cast<std::size_t>(port.state)]);
    }
    text += '\n';
  }
  return text;
}

}  // namespace lanyard::testing
