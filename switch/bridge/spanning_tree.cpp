// SPDX-License-Identifier: MIT
#include "switch/bridge/spanning_tree.h"

#include <algorithm>
#include <cerrno>

#include "switch/bridge/switch.h"

namespace lanyard {
namespace {

constexpr std::int64_t kPathCostMin = 1;
constexpr std::int64_t kPathCostMax = 200000000;  // IEEE 802.1D table 17-3

std::string_view state_text(PortState state) {
  switch (state) {
    case PortState::discarding: return "discarding";
    case PortState::learning: return "learning";
    case PortState::forwarding: break;
  }
  return "learning+forwarding";
}

void put_in(std::vector<PortId>& list, PortId port, bool in) {
  const auto at = std::lower_bound(list.begin(), list.end(), port);
  const bool there = at != list.end() && *at == port;
  if (in && !there) list.insert(at, port);
  if (!in && there) list.erase(at);
}

}  // namespace

// One VLAN's engine, and what its actions mean in the switch.
class SpanningTree::Tree final : public RstpActions {
 public:
  Tree(Switch& bridge, VlanId vlan, const RstpSettings& settings)
      : bridge_(bridge), vlan_(vlan), engine_(settings, *this) {}

  VlanId vlan() const { return vlan_; }
  const Rstp& engine() const { return engine_; }
  const PortSet& ports() const { return ports_; }

  // Lets something happen to the engine, then tells what states ports have come to: what they went
  // through in between is nobody's business.
  template <typename Function>
  void apply(Function&& function) {
    function(engine_);
    for (const Change& change : std::exchange(changes_, {})) {
      const RstpPort* const port = engine_.port(change.port);
      if (port == nullptr || port->state == change.before) continue;
      report(Event::Kind::tree_status, change.port, state_text(port->state));
    }
  }

  void add(PortId port) {
    ports_.add(port);
    apply([&](Rstp& engine) { engine.add_port(port); });
  }
  void remove(PortId port) {
    ports_.remove(port);
    apply([&](Rstp& engine) { engine.remove_port(port); });
    bridge_.vlans().set_state(vlan_, port, PortState::forwarding);
  }

  void send_bpdu(PortId port, const Bpdu& bpdu) override {
    bridge_.send_own(port, vlan_, BpduFrame(bpdu, bridge_.mac()).bytes());
  }
  void set_state(PortId port, PortState state) override {
    const auto same = [&](const Change& change) { return change.port == port; };
    if (std::none_of(changes_.begin(), changes_.end(), same)) {
      changes_.push_back({port, bridge_.vlans().state(vlan_, port)});
    }
    bridge_.vlans().set_state(vlan_, port, state);
  }
  void flush(PortId port) override { bridge_.flush_macs_of(port, vlan_); }
  void root_changed() override {
    const PortId way = engine_.is_root() ? PortId{0} : engine_.root_port_id();
    report(Event::Kind::tree_root, way, engine_.root().text());
  }
  void heard(PortId port, bool heard) override {
    report(heard ? Event::Kind::tree_heard : Event::Kind::tree_silent, port, "");
  }
  void guarded(PortId port, std::string_view what) override {
    report(Event::Kind::tree_guarded, port, what);
  }

 private:
  struct Change {
    PortId port;
    PortState before;
  };

  void report(Event::Kind kind, PortId port, std::string_view text) {
    Event event;
    event.kind = kind;
    event.port = port;
    event.vlan = vlan_;
    event.text = text;
    bridge_.events().on_event(event);
  }

  Switch& bridge_;
  VlanId vlan_;
  PortSet ports_;
  std::vector<Change> changes_;
  Rstp engine_;
};

SpanningTree::SpanningTree(Switch& bridge) : bridge_(bridge) {
  bridge_.vlans().on_change = [this](VlanId vlan) { vlan_changed(vlan); };
}

SpanningTree::~SpanningTree() {
  bridge_.vlans().on_change = nullptr;
}

Result<void> SpanningTree::start() {
  if (bridge_.is_hub()) {
    return Error{EBUSY, "a hub repeats every frame and has no spanning tree; leave hub mode first"};
  }
  if (running_) return {};
  running_ = settings_.running = true;
  bridge_.set_takes_bpdus(true);
  for (VlanId vlan = 0; vlan <= kVlanMax; ++vlan) {
    if (bridge_.vlans().exists(vlan)) make_tree(vlan);
  }
  if (on_running) on_running(true);
  return {};
}

void SpanningTree::stop() {
  settings_.running = false;
  if (!running_) return;
  running_ = false;
  bridge_.set_takes_bpdus(false);
  for (const auto& entry : std::exchange(trees_, {})) {
    const auto& tree = *entry.second;
    tree.ports().for_each(
        [&](PortId port) { bridge_.vlans().set_state(tree.vlan(), port, PortState::forwarding); });
  }
  if (on_running) on_running(false);
}

void SpanningTree::tick(Time now) {
  for (const auto& [vlan, tree] : trees_) {
    tree->apply([&](Rstp& engine) { engine.tick(now); });
  }
}

void SpanningTree::receive(PortId in, const Frame& frame) {
  const auto at = trees_.find(frame.vlan);
  if (at == trees_.end()) return;
  const std::optional<Bpdu> bpdu = decode_bpdu(frame.head().subspan(kAddressesSize));
  if (bpdu) at->second->apply([&](Rstp& engine) { engine.receive(in, *bpdu); });
}

void SpanningTree::port_changed(PortId port) {
  for (const auto& [vlan, tree] : trees_) {
    if (tree->ports().has(port)) configure(*tree, port);
  }
}

void SpanningTree::vlan_changed(VlanId vlan) {
  const bool exists = bridge_.vlans().exists(vlan);
  if (!exists) {
    std::erase_if(settings_.vlans, [&](const VlanTreeState& of) { return of.vlan == vlan; });
  }
  if (!running_) return;
  const auto at = trees_.find(vlan);
  if (!exists) {
    trees_.erase(vlan);
  } else if (at == trees_.end()) {
    make_tree(vlan);
  } else {
    match_members(*at->second);
  }
}

void SpanningTree::make_tree(VlanId vlan) {
  RstpSettings settings;
  settings.mac = bridge_.mac();
  settings.priority = settings_.priority;
  match_members(
      *trees_.emplace(vlan, std::make_unique<Tree>(bridge_, vlan, settings)).first->second);
}

void SpanningTree::match_members(Tree& tree) {
  PortSet members;
  for (const VlanMember& member : bridge_.vlans().members(tree.vlan())) members.add(member.port);
  std::vector<PortId> gone;
  tree.ports().for_each([&](PortId port) {
    if (!members.has(port)) gone.push_back(port);
  });
  for (const PortId port : gone) tree.remove(port);
  members.for_each([&](PortId port) {
    if (tree.ports().has(port)) return;
    tree.add(port);
    configure(tree, port);
  });
}

void SpanningTree::configure(Tree& tree, PortId port) {
  const VlanId vlan = tree.vlan();
  std::int64_t cost = Rstp::kDefaultPathCost;
  if (bonus_port(vlan) == port) cost -= bonus(vlan);
  cost = std::clamp(cost, kPathCostMin, kPathCostMax);
  tree.apply([&](Rstp& engine) {
    engine.set_path_cost(port, static_cast<std::uint32_t>(cost));
    engine.set_admin_edge(port, is_edge(vlan, port));
    engine.set_bpdu_guard(port, has_bpdu_guard(port));
    engine.set_root_guard(port, has_root_guard(port));
    engine.set_point_to_point(port, is_point_to_point(port));
    engine.set_link(port, bridge_.vlans().is_active(port));
  });
}

// Several plugs in one port are a shared medium to whoever is behind them: one neighbour cannot
// agree for the others.
bool SpanningTree::is_point_to_point(PortId port) const {
  const Port* const found = bridge_.port(port);
  return found == nullptr || found->plugs().size() <= 1;
}

void SpanningTree::set_priority(std::uint16_t priority) {
  settings_.priority = priority;
  for (const auto& [vlan, tree] : trees_) {
    tree->apply([&](Rstp& engine) { engine.set_priority(priority); });
  }
}

VlanTreeState& SpanningTree::settings_of(VlanId vlan) {
  const auto at = std::lower_bound(settings_.vlans.begin(), settings_.vlans.end(), vlan,
                                   [](const VlanTreeState& of, VlanId id) { return of.vlan < id; });
  if (at != settings_.vlans.end() && at->vlan == vlan) return *at;
  VlanTreeState fresh;
  fresh.vlan = vlan;
  return *settings_.vlans.insert(at, fresh);
}

const VlanTreeState* SpanningTree::find_settings(VlanId vlan) const {
  const auto at = std::find_if(settings_.vlans.begin(), settings_.vlans.end(),
                               [&](const VlanTreeState& of) { return of.vlan == vlan; });
  return at == settings_.vlans.end() ? nullptr : &*at;
}

void SpanningTree::set_edge(VlanId vlan, PortId port, bool edge) {
  put_in(settings_of(vlan).edges, port, edge);
  port_changed(port);
}

bool SpanningTree::is_edge(VlanId vlan, PortId port) const {
  const VlanTreeState* const of = find_settings(vlan);
  return of != nullptr && std::binary_search(of->edges.begin(), of->edges.end(), port);
}

void SpanningTree::set_bonus(VlanId vlan, PortId port, std::int32_t bonus) {
  VlanTreeState& of = settings_of(vlan);
  const PortId before = std::exchange(of.bonus_port, port);
  of.bonus = bonus;
  port_changed(before);
  port_changed(port);
}

PortId SpanningTree::bonus_port(VlanId vlan) const {
  const VlanTreeState* const of = find_settings(vlan);
  return of == nullptr ? PortId{0} : of->bonus_port;
}

std::int32_t SpanningTree::bonus(VlanId vlan) const {
  const VlanTreeState* const of = find_settings(vlan);
  return of == nullptr ? 0 : of->bonus;
}

void SpanningTree::set_bpdu_guard(PortId port, bool guard) {
  put_in(settings_.bpdu_guards, port, guard);
  note_guards();
  port_changed(port);
}

void SpanningTree::set_root_guard(PortId port, bool guard) {
  put_in(settings_.root_guards, port, guard);
  note_guards();
  port_changed(port);
}

void SpanningTree::note_guards() {
  bpdu_guards_ = root_guards_ = PortSet();
  for (const PortId port : settings_.bpdu_guards) bpdu_guards_.add(port);
  for (const PortId port : settings_.root_guards) root_guards_.add(port);
}

const Rstp* SpanningTree::tree(VlanId vlan) const {
  const auto at = trees_.find(vlan);
  return at == trees_.end() ? nullptr : &at->second->engine();
}

void SpanningTree::restore(const SpanningTreeState& state) {
  stop();
  settings_ = state;
  note_guards();
  // In hub mode it was off, and what says otherwise is wrong.
  if (state.running && !start()) settings_.running = false;
}

}  // namespace lanyard
