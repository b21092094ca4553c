// SPDX-License-Identifier: MIT
//
// What a switch does, written once more from its description and as plainly as possible: no speed,
// no pools, no plans, nothing shared with the switch under test. The random tests hold the two
// against each other.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace lanyard::testing {

class ModelSwitch {
 public:
  using Bytes = std::vector<std::uint8_t>;
  using Deliveries = std::map<int, std::vector<Bytes>>;  // by port
  enum class State { discarding, learning, forwarding };

  static constexpr int kNoVlan = 4095;

  struct Port {
    int native = 0;
    std::set<int> tagged;
    int plugs = 0;
    bool pass_tags = false;
    bool isolated = false;
    bool listens = false;  // to unicast frames for others
  };
  struct Seen {
    int port;
    int when;
  };

  std::map<int, Port> ports;
  std::set<int> vlans{0};
  std::map<std::pair<std::uint64_t, int>, Seen> stations;  // by address and VLAN
  std::map<std::pair<int, int>, State> states;             // by VLAN and port
  bool hub = false;
  int now = 0;
  int expire = 100;
  int hold = 3;

  // ---- configuration; false where the switch must refuse ----

  bool create_vlan(int vlan) { return vlan >= 1 && vlan <= 4094 && vlans.insert(vlan).second; }
  bool remove_vlan(int vlan) {
    if (vlan == 0 || !vlans.contains(vlan)) return false;
    for (const auto& [id, port] : ports) {
      if (member(id, vlan)) return false;
    }
    std::erase_if(states, [&](const auto& s) { return s.first.first == vlan; });
    return vlans.erase(vlan) == 1;
  }
  bool set_native(int id, int vlan) {
    if (!ports.contains(id) || (vlan != kNoVlan && !vlans.contains(vlan))) return false;
    ports[id].native = vlan;
    ports[id].tagged.erase(vlan);
    forget_port(id);
    return true;
  }
  bool add_tagged(int vlan, int id) {
    if (!vlans.contains(vlan)) return false;
    if (ports[id].native != vlan) ports[id].tagged.insert(vlan);
    return true;
  }
  bool remove_tagged(int vlan, int id) {
    if (!vlans.contains(vlan) || ports[id].native == vlan) return false;
    ports[id].tagged.erase(vlan);
    forget_port(id);
    return true;
  }
  void set_state(int vlan, int id, State state) {
    if (vlans.contains(vlan)) states[{vlan, id}] = state;
  }
  void plug(int id) { ++ports[id].plugs; }
  void unplug(int id) {
    if (--ports[id].plugs == 0) forget_port(id);
  }
  bool remove_port(int id) {
    if (!ports.contains(id) || ports[id].plugs != 0) return false;
    forget_port(id);
    std::erase_if(states, [&](const auto& s) { return s.first.second == id; });
    return ports.erase(id) == 1;
  }
  void set_hub(bool on) {
    hub = on;
    if (on) stations.clear();
  }
  void sweep() {
    std::erase_if(stations, [&](const auto& s) { return now - s.second.when > expire; });
  }

  // ---- a frame ----

  Deliveries send(int in, const Bytes& frame) {
    Deliveries out;
    if (frame.size() < 14) return out;
    if (hub) {
      for (const auto& [id, port] : ports) {
        if (id != in && port.plugs != 0 && !apart(in, id)) out[id].push_back(frame);
      }
      return out;
    }
    int vlan = ports[in].native;
    int priority = 0;
    Bytes plain = frame;
    if (word(frame, 12) == 0x8100) {
      if (frame.size() < 18) return out;
      const int tag = word(frame, 14);
      const int named = tag & 0x0fff;
      if (named == 4095) return out;
      if (member(in, named) || named == 0) {
        if (member(in, named)) vlan = named;
        priority = tag & 0xf000;
        plain.erase(plain.begin() + 12, plain.begin() + 16);
      } else if (!ports[in].pass_tags) {
        return out;
      }
    }
    if (vlan == kNoVlan || state(vlan, in) == State::discarding) return out;
    learn(address(frame, 6), vlan, in);
    if (state(vlan, in) != State::forwarding) return out;
    for (const int id : receivers(in, address(frame, 0), vlan)) {
      out[id].push_back(ports[id].native == vlan ? plain : with_tag(plain, priority | vlan));
    }
    return out;
  }

 private:
  static int word(const Bytes& bytes, std::size_t at) { return bytes[at] << 8 | bytes[at + 1]; }
  static std::uint64_t address(const Bytes& bytes, std::size_t at) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < 6; ++i) number = number * 256 + bytes[at + i];
    return number;
  }
  static bool is_group(std::uint64_t mac) { return (mac >> 40 & 1) != 0; }
  static Bytes with_tag(Bytes bytes, int tag) {
    const Bytes four{0x81, 0x00, static_cast<std::uint8_t>(tag >> 8),
                     static_cast<std::uint8_t>(tag & 0xff)};
    bytes.insert(bytes.begin() + 12, four.begin(), four.end());
    return bytes;
  }

  bool member(int id, int vlan) const {
    const Port& port = ports.at(id);
    return vlan != kNoVlan && (port.native == vlan || port.tagged.contains(vlan));
  }
  State state(int vlan, int id) const {
    const auto at = states.find({vlan, id});
    return at == states.end() ? State::forwarding : at->second;
  }
  bool reachable(int id, int vlan) const {
    return ports.contains(id) && ports.at(id).plugs != 0 && member(id, vlan) &&
           state(vlan, id) == State::forwarding;
  }
  bool apart(int a, int b) const { return ports.at(a).isolated && ports.at(b).isolated; }
  std::vector<int> receivers(int in, std::uint64_t to, int vlan) const {
    std::vector<int> all;
    const auto known = stations.find({to, vlan});
    int only = -1;
    if (!is_group(to) && known != stations.end()) {
      if (known->second.port == in) return {};
      if (reachable(known->second.port, vlan)) only = known->second.port;
    }
    if (only >= 0 && apart(in, only)) return {};
    for (const auto& [id, port] : ports) {
      if (id == in || !reachable(id, vlan) || apart(in, id)) continue;
      if (only < 0 || id == only || port.listens) all.push_back(id);
    }
    return all;
  }
  void learn(std::uint64_t mac, int vlan, int in) {
    if (is_group(mac) || mac == 0) return;
    const auto [at, added] = stations.try_emplace({mac, vlan}, Seen{in, now});
    if (!added && at->second.port != in && now - at->second.when <= hold) return;
    at->second = {in, now};
  }
  void forget_port(int id) {
    std::erase_if(stations, [&](const auto& s) { return s.second.port == id; });
  }
};

}  // namespace lanyard::testing
