// SPDX-License-Identifier: MIT
#include "switch/network/config_defaults.h"

#include <algorithm>
#include <array>
#include <bit>

#include "switch/network/config_fields.h"
#include "switch/network/paths.h"

namespace lanyard {
namespace {

constexpr std::uint32_t kDefaultRangeMax = 65536;  // addresses

constexpr Ipv4Prefix prefix(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
  return {Ipv4Address::from_bytes(std::array<std::uint8_t, 4>{a, b, c, d}), 24};
}
constexpr Ipv4Prefix kNatSubnet = prefix(10, 0, 2, 0);
constexpr Ipv4Prefix kHostOnlyAddress = prefix(192, 168, 56, 1);
constexpr Ipv4Prefix kRoutedAddress = prefix(192, 168, 57, 1);

// VirtualBox's: fd17:625c:f037:XXXX::/64 with the two middle octets of the IPv4 network.
Ipv6Prefix prefix6_of(const Ipv4Prefix& subnet) {
  const auto octets = subnet.network().bytes();
  Ipv6Address::Bytes bytes{0xfd, 0x17, 0x62, 0x5c, 0xf0, 0x37, octets[1], octets[2]};
  return {Ipv6Address(bytes), 64};
}

// How many addresses a network has; /0 counts as one less than it has.
std::uint32_t size_of(const Ipv4Prefix& subnet) {
  return subnet.length == 0 ? 0xffffffff : std::uint32_t{1} << (32 - subnet.length);
}

class Resolver {
 public:
  Resolver(NetworkConfig& network, const ConfigPresence& present)
      : n_(network), present_(present) {}

  void run() {
    host_interface();
    subnets();
    switches();
    server_addresses();
    dhcp();
    sockets();
    forwards();
    guard();
  }

 private:
  bool absent(std::string_view key) const { return present_.find(key) == present_.end(); }
  bool is_nat() const { return n_.kind == NetworkKind::nat; }
  bool has_host() const {
    return n_.kind == NetworkKind::host_only || n_.kind == NetworkKind::routed;
  }

  void host_interface() {
    if (!has_host() || !absent("host")) return;
    if (!n_.host) n_.host.emplace();
    HostInterfaceConfig& host = *n_.host;
    if (absent("host.name")) host.name = "ly-" + n_.name.substr(0, 12);
    if (absent("host.mtu")) host.mtu = n_.mtu;
    if (absent("host.address")) {
      if (n_.subnet) {
        host.address = Ipv4Prefix{n_.subnet->at(1), n_.subnet->length};
      } else if (absent("subnet")) {
        host.address = n_.kind == NetworkKind::routed ? kRoutedAddress : kHostOnlyAddress;
      }
    }
    if (absent("host.address6") && n_.subnet6) {
      host.address6 = Ipv6Prefix{n_.subnet6->at(1), n_.subnet6->length};
    }
  }

  void subnets() {
    if (n_.host && absent("subnet") && n_.host->address) {
      n_.subnet = Ipv4Prefix{n_.host->address->network(), n_.host->address->length};
    }
    if (n_.host && absent("subnet6") && n_.host->address6) {
      n_.subnet6 = Ipv6Prefix{n_.host->address6->network(), n_.host->address6->length};
    }
    if (!is_nat()) return;
    if (absent("subnet")) n_.subnet = kNatSubnet;
    if (absent("subnet6") && n_.subnet) n_.subnet6 = prefix6_of(*n_.subnet);
  }

  void switches() {
    const bool routes = is_nat() || n_.kind == NetworkKind::routed;
    if (absent("dhcp.enabled")) n_.dhcp.enabled = n_.subnet && (is_nat() || has_host());
    if (absent("dns.enabled")) n_.dns.enabled = n_.subnet && routes;
    if (absent("tcp_engine") && is_nat()) n_.tcp_engine = TcpEngineKind::direct;
    if (absent("domain") && n_.dns.enabled) n_.domain = n_.name + ".internal";
  }

  void server_addresses() {
    if (is_nat() && n_.subnet6) {
      if (absent("router6")) n_.router6 = n_.subnet6->at(2);
      if (absent("dns_address6") && n_.dns.enabled) n_.dns_address6 = n_.subnet6->at(3);
    }
    if (!n_.subnet) return;
    if (is_nat()) {
      if (absent("router")) n_.router = n_.subnet->at(2);
      if (absent("dns_address") && n_.dns.enabled) n_.dns_address = n_.subnet->at(3);
      return;
    }
    if (absent("dhcp_address") && (n_.dhcp.enabled || n_.dns.enabled)) {
      n_.dhcp_address = n_.subnet->at(size_of(*n_.subnet) >= 256 ? 100 : 2);
    }
    if (absent("dns_address") && n_.dns.enabled) n_.dns_address = n_.dhcp_address;
  }

  void dhcp() {
    DhcpConfig& dhcp = n_.dhcp;
    if (!dhcp.enabled) return;
    if (absent("dhcp.domain")) dhcp.domain = n_.domain;
    if (absent("dhcp.dns") && n_.dns.enabled && n_.dns_address) dhcp.dns = {*n_.dns_address};
    if (absent("dhcp.router")) {
      if (is_nat()) dhcp.router = n_.router;
      if (n_.kind == NetworkKind::routed && n_.host && n_.host->address) {
        dhcp.router = n_.host->address->address;
      }
    }
    if (absent("dhcp.ranges") && n_.subnet) dhcp.ranges = default_ranges();
  }

  // Where there is a gateway that hands out addresses, no guest may; elsewhere one may be meant to.
  void guard() {
    constexpr std::uint32_t kMacsMax = 1024;
    constexpr std::uint32_t kStormPps = 10000;
    GuardSettings& guests = n_.guard.guests;
    if (absent("guard.dhcp_guard")) guests.dhcp_guard = is_nat() && n_.dhcp.enabled;
    if (absent("guard.dhcpv6_guard")) guests.dhcpv6_guard = is_nat();
    if (absent("guard.ra_guard")) guests.ra_guard = is_nat();
    if (absent("guard.max_macs")) guests.max_macs = kMacsMax;
    if (absent("guard.broadcast_pps")) guests.broadcast_pps = kStormPps;
    if (absent("guard.multicast_pps")) guests.multicast_pps = kStormPps;
    if (absent("guard.unknown_pps")) guests.unknown_pps = kStormPps;
  }

  // From .15 (nat) or .101 upwards, around the addresses that are taken.
  std::vector<Ipv4Range> default_ranges() const {
    const std::uint32_t size = size_of(*n_.subnet);
    const std::uint32_t first = is_nat() ? (size >= 32 ? 15 : 4) : (size >= 256 ? 101 : 3);
    if (first + 1 >= size) return {};
    const std::uint32_t last = std::min(size - 2, first + kDefaultRangeMax - 1);
    std::vector<std::uint32_t> taken;
    for (const auto& address : {n_.router, n_.dns_address, n_.dhcp_address, host_address()}) {
      if (address) taken.push_back(address->number() - n_.subnet->network().number());
    }
    std::sort(taken.begin(), taken.end());
    std::vector<Ipv4Range> ranges;
    std::uint32_t from = first;
    for (const std::uint32_t offset : taken) {
      if (offset < from || offset > last) continue;
      if (offset > from) ranges.push_back({n_.subnet->at(from), n_.subnet->at(offset - 1)});
      from = offset + 1;
    }
    if (from <= last) ranges.push_back({n_.subnet->at(from), n_.subnet->at(last)});
    return ranges;
  }

  std::optional<Ipv4Address> host_address() const {
    if (!n_.host || !n_.host->address) return std::nullopt;
    return n_.host->address->address;
  }

  // A name without a slash lies in the run directory.
  void sockets() {
    if (absent("socket")) n_.sockets = {SocketConfig{}};
    for (SocketConfig& socket : n_.sockets) {
      if (socket.path.empty()) socket.path = n_.name;
      if (socket.path.find('/') == std::string::npos) {
        socket.path = runtime_directory() + "/" + socket.path;
      }
    }
  }

  // VirtualBox's rules may leave the guest out: then it is the one that came first.
  void forwards() {
    if (n_.dhcp.ranges.empty()) return;
    for (ForwardConfig& forward : n_.forwards) {
      if (forward.guest.empty()) forward.guest = n_.dhcp.ranges.front().first.text();
    }
  }

  NetworkConfig& n_;
  const ConfigPresence& present_;
};

// The keys of a network that are tables, each key of which counts by itself.
bool is_section(std::string_view key) {
  return key == "host" || key == "dhcp" || key == "dns" || key == "policy" || key == "guard";
}

template <typename T>
void append_section(std::vector<ConfigLeaf>& leaves, std::string_view section, const T& value) {
  for (const ConfigField<T>& field : config_fields(&value)) {
    leaves.push_back({fmt::format("{}.{}", section, field.key), field.live, field.get(value)});
  }
}

void decode_control(Configuration& to, const Json& from, ConfigReport& report) {
  if (!from.is_object()) return report.add("[control] is a table");
  std::vector<std::string_view> known;
  std::array<std::string*, 2> members{&to.control_group, &to.viewer_group};
  for (const ConfigKeyHelp& key : control_keys()) {
    if (const auto at = from.find(key.key); at != from.end()) {
      const ConfigReport::Step step(report, std::string(key.key));
      decode(*members[known.size()], *at, report);
    }
    known.push_back(key.key);
  }
  report_unknown_keys(from, known, report);
}

// "dhcp.ranges" of network/lab/dhcp/ranges/0, and "forward" of network/lab/forward/0/to.
std::string leaf_of(const ConfigPath& path) {
  if (path.size() < 3) return {};
  return is_section(path[2]) && path.size() > 3 ? path[2] + "." + path[3] : path[2];
}

void decode_networks(Configuration& to, const Json& from, ConfigReport& report) {
  if (!from.is_object()) {
    return report.add("networks have names: write [network.lab], kind = \"nat\"");
  }
  for (const auto& item : from.items()) {
    const ConfigReport::Step step(report, item.key());
    NetworkConfig network;
    network.name = item.key();
    const std::size_t before = report.items().size();
    decode(network, item.value(), report);
    if (item.value().is_object() && !item.value().contains("kind")) {
      report.add(
          "the network has no kind; write kind = \"nat\", \"host-only\", \"routed\" or "
          "\"internal\"");
    }
    ConfigPresence present = config_presence(item.value());
    for (std::size_t i = before; i < report.items().size(); ++i) {
      present.erase(leaf_of(report.items()[i].path));
    }
    resolve(network, present);
    to.networks.push_back(std::move(network));
  }
}

}  // namespace

ConfigPresence config_presence(const Json& network) {
  ConfigPresence present;
  if (!network.is_object()) return present;
  for (const auto& item : network.items()) {
    if (!is_section(item.key()) || !item.value().is_object()) {
      present.insert(item.key());
    } else {
      for (const auto& inner : item.value().items()) present.insert(item.key() + "." + inner.key());
    }
  }
  return present;
}

void resolve(NetworkConfig& network, const ConfigPresence& present) {
  Resolver(network, present).run();
}

std::vector<ConfigLeaf> config_leaves(const NetworkConfig& network) {
  std::vector<ConfigLeaf> leaves;
  for (const ConfigField<NetworkConfig>& field : config_fields(&network)) {
    if (field.key == "host" && network.host) {
      append_section(leaves, field.key, *network.host);
    } else if (field.key == "dhcp") {
      append_section(leaves, field.key, network.dhcp);
    } else if (field.key == "dns") {
      append_section(leaves, field.key, network.dns);
    } else if (field.key == "policy") {
      append_section(leaves, field.key, network.policy);
    } else if (field.key == "guard") {
      append_section(leaves, field.key, network.guard);
    } else {
      leaves.push_back({std::string(field.key), field.live, field.get(network)});
    }
  }
  return leaves;
}

Configuration decode_configuration(const Json& tree, ConfigReport& report) {
  constexpr std::array<std::string_view, 2> kKeys{"control", "network"};
  Configuration configuration;
  report_unknown_keys(tree, kKeys, report);
  if (const auto at = tree.find("control"); at != tree.end()) {
    const ConfigReport::Step step(report, "control");
    decode_control(configuration, *at, report);
  }
  if (const auto at = tree.find("network"); at != tree.end()) {
    const ConfigReport::Step step(report, "network");
    decode_networks(configuration, *at, report);
  }
  ConfigReport checks;
  check_configuration(configuration, checks);
  report.take_over(checks);
  return configuration;
}

}  // namespace lanyard
