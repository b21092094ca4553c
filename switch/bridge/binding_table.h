// SPDX-License-Identifier: MIT
//
// Which IP address is whose: what source guard and ARP inspection hold a guest's claims against.
// A binding is said by an operator, overheard from DHCP, or made by the first guest that asks for
// an IPv6 address (RFC 6620). What guests can cause is bounded, each port for itself: who fills his
// own share loses his own. Time is a parameter. Lane thread only.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "switch/base/result.h"
#include "switch/base/time.h"
#include "switch/bridge/port_set.h"
#include "switch/frame/ethernet.h"
#include "switch/network/ip_address.h"

namespace lanyard {

struct Binding {
  enum class Origin : std::uint8_t { operator_said, dhcp, first_come };

  // An operator's binding holds in every VLAN.
  static constexpr VlanId kAnyVlan = kVlanNone;
  static constexpr Time kForEver = Time::max();

  IpAddress address;
  VlanId vlan = kAnyVlan;
  MacAddress mac;
  PortId port = kPortNone;  // none: wherever the MAC address is
  Origin origin = Origin::operator_said;
  Time expires = kForEver;
  Time used{0};

  friend bool operator==(const Binding&, const Binding&) = default;
};

class BindingTable {
 public:
  static constexpr std::size_t kPerPort = 256;
  static constexpr std::size_t kSaidMax = 65536;

  // Whether the address is bound to that station.
  bool allows(const IpAddress& address, VlanId vlan, MacAddress mac, PortId port, Time now);
  // The binding in force, whosever it is.
  const Binding* find(const IpAddress& address, VlanId vlan, Time now) const;

  // By an operator; takes the place of another such binding. ENOSPC when there are too many.
  Result<void> say(const IpAddress& address, MacAddress mac, PortId port);
  bool unsay(const IpAddress& address);
  void unsay_all();

  // By DHCP: the server decides, so this takes the place of what guests have asked for.
  void lease(const Binding& binding, Time now);
  // kPortNone: wherever it was.
  void give_back(const IpAddress& address, VlanId vlan, MacAddress mac, PortId port);
  // By the first to ask; false when it is somebody else's.
  bool claim(const IpAddress& address, VlanId vlan, MacAddress mac, PortId port, Time now);

  // All that a port's guest has; what an operator said stays.
  void forget_port(PortId port);

  std::vector<Binding> all() const;
  void restore(const std::vector<Binding>& bindings);
  std::size_t size() const { return bindings_.size(); }

 private:
  using Key = std::pair<VlanId, IpAddress>;

  void put(const Binding& binding, Time now);

  std::map<Key, Binding> bindings_;
  std::size_t said_ = 0;
  std::map<PortId, std::size_t> learned_;  // how many of each port
};

}  // namespace lanyard
