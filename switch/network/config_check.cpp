// SPDX-License-Identifier: MIT
//
// What reading a single value cannot see, of one network. What concerns several networks is in
// config_check_all.cpp.
#include "switch/network/config_check.h"

#include <algorithm>
#include <map>
#include <set>

#include "switch/network/config_json.h"
#include "switch/network/plugin_text.h"
#include "switch/network/policy_rule.h"

namespace lanyard {
namespace {

using Step = ConfigReport::Step;

constexpr std::uint32_t kMtuMin = 576;
constexpr std::uint32_t kMtuMin6 = 1280;  // RFC 8200, 5
constexpr std::uint32_t kMtuMax = 65521;

class NetworkCheck {
 public:
  NetworkCheck(const NetworkConfig& network, ConfigReport& report) : n_(network), r_(report) {}

  void run() {
    subnet();
    subnet6();
    servers();
    kind();
    mtu();
    switch_settings();
    plugins();
    sockets();
    host_interface();
    dhcp();
    dns();
    guests();
    policy();
    forwards();
    check_guard(n_, r_);
  }

 private:
  template <typename... Args>
  void at(std::string_view key, fmt::format_string<Args...> format, Args&&... args) {
    const Step step(r_, std::string(key));
    r_.add(fmt::format(format, std::forward<Args>(args)...));
  }

  bool has_host() const {
    return n_.kind == NetworkKind::host_only || n_.kind == NetworkKind::routed;
  }
  bool is_nat() const { return n_.kind == NetworkKind::nat; }

  void subnet() {
    if (!n_.subnet) return;
    const Ipv4Prefix& s = *n_.subnet;
    if (s.address != s.network()) {
      at("subnet", "{} has bits behind its /{}; did you mean {}/{}?", s.text(), s.length,
         s.network().text(), s.length);
    }
    const unsigned longest = is_nat() ? 29 : 30;
    if (s.length < 8 || s.length > longest) {
      at("subnet", "a /{} is no network for guests; take /8 to /{}, as in 10.0.2.0/24", s.length,
         longest);
    }
    const Ipv4Address first = s.network();
    if (first.is_loopback() || first.is_multicast() || first.number() >> 24 == 0 ||
        first.number() >> 28 == 0xf) {
      at("subnet",
         "{} holds no addresses for guests; take one of 10.0.0.0/8, 172.16.0.0/12 and "
         "192.168.0.0/16",
         s.text());
    }
  }

  void subnet6() {
    if (!n_.subnet6) return;
    const Ipv6Prefix& s = *n_.subnet6;
    if (s.address != s.network()) {
      at("subnet6", "{} has bits behind its /{}; did you mean {}/{}?", s.text(), s.length,
         s.network().text(), s.length);
    }
    if (is_nat() ? s.length != 64 : (s.length < 32 || s.length > 126)) {
      at("subnet6", "a /{} does not do: guests make their addresses in a /64", s.length);
    }
    if (s.address.is_multicast() || s.address.is_loopback() || s.address.is_unspecified() ||
        s.address.is_link_local()) {
      at("subnet6", "{} holds no addresses for guests; take one below fd00::/8", s.text());
    }
  }

  // Says when the address is not one that a station of the network can have.
  void inside(std::string_view key, Ipv4Address address) {
    if (!n_.subnet) {
      at(key, "{} needs a network around it; write subnet = \"{}/24\"", address.text(),
         Ipv4Prefix{address, 24}.network().text());
    } else if (!n_.subnet->contains(address)) {
      at(key, "{} is not in the subnet {}", address.text(), n_.subnet->text());
    } else if (address == n_.subnet->network() || address == n_.subnet->broadcast()) {
      at(key, "{} is the first or last address of {}, which no station can have", address.text(),
         n_.subnet->text());
    }
  }

  void inside6(std::string_view key, const Ipv6Address& address) {
    if (!n_.subnet6 || !n_.subnet6->contains(address)) {
      at(key, "{} is not in the subnet6 {}", address.text(),
         n_.subnet6 ? n_.subnet6->text() : std::string("none"));
    }
  }

  void taken_by(Ipv4Address address, std::string_view who) {
    own_.emplace(address.number(), std::string(who));
  }

  void servers() {
    struct Server {
      std::string_view key;
      const std::optional<Ipv4Address>& address;
    };
    if (n_.host && n_.host->address) taken_by(n_.host->address->address, "the host");
    for (const Server& server : {Server{"router", n_.router}, Server{"dns_address", n_.dns_address},
                                 Server{"dhcp_address", n_.dhcp_address}}) {
      if (!server.address) continue;
      inside(server.key, *server.address);
      // DHCP and DNS may live at one address; the router of a NAT network stands alone.
      const auto other = own_.find(server.address->number());
      const bool both_services =
          server.key == "dhcp_address" && n_.dns_address == n_.dhcp_address && !is_nat();
      if (other != own_.end() && !both_services) {
        at(server.key, "{} is taken by {}", server.address->text(), other->second);
      }
      taken_by(*server.address, server.key);
    }
    if (n_.router6) inside6("router6", *n_.router6);
    if (n_.dns_address6) inside6("dns_address6", *n_.dns_address6);
    if (n_.router6 && n_.router6 == n_.dns_address6) {
      at("dns_address6", "{} is taken by router6", n_.router6->text());
    }
  }

  void kind() {
    if (is_nat() && !n_.subnet) at("subnet", "a nat network needs one, as in 10.0.2.0/24");
    if (is_nat() && n_.subnet && !n_.router) {
      at("router", "a nat network needs one, as in {}", n_.subnet->at(2).text());
    }
    if (!is_nat() && n_.router) at("router", "only a nat network has one; see dhcp.router");
    if (!is_nat() && n_.router6) at("router6", "only a nat network has one");
    if (is_nat() && n_.subnet6 && !n_.router6) {
      at("router6", "the subnet6 needs one, as in {}", n_.subnet6->at(2).text());
    }
    if (!has_host() && n_.host) {
      at("host", "a {} network has no interface of the host; kind = \"host-only\" has one",
         kind_text(n_.kind));
    }
    if (has_host() && !n_.host) at("host", "the network needs an interface of the host");
    if (!n_.uplink.empty() && n_.kind != NetworkKind::routed) {
      at("uplink", "only a routed network has one");
    }
    if (!n_.uplink.empty() && !is_interface_name(n_.uplink)) {
      at("uplink", "\"{}\" is no name of an interface", printable(n_.uplink));
    }
    outbound("outbound_address", n_.outbound_address, true);
    outbound("outbound_address6", n_.outbound_address6, false);
    if (!is_nat() && n_.tcp_engine != NetworkConfig{}.tcp_engine) {
      at("tcp_engine", "only a nat network has one");
    }
    if (!is_nat() && n_.policy != PolicyConfig{}) {
      at("policy", "only a nat network has one: elsewhere the host's firewall decides");
    }
  }

  void outbound(std::string_view key, const std::string& text, bool v4) {
    if (text.empty()) return;
    if (!is_nat()) at(key, "only a nat network has one");
    if (v4 ? !Ipv4Address::parse(text).has_value() : !Ipv6Address::parse(text).has_value()) {
      at(key, "\"{}\" is no IPv{} address of the host", printable(text), v4 ? 4 : 6);
    }
  }

  void mtu() {
    const std::uint32_t least = n_.subnet6 ? kMtuMin6 : kMtuMin;
    if (n_.mtu < least || n_.mtu > kMtuMax) {
      at("mtu", "{} is not {} to {}{}", n_.mtu, least, kMtuMax,
         n_.subnet6 ? " (IPv6 needs 1280)" : "");
    }
  }

  void switch_settings() {
    if (n_.ports_max == 0 || n_.ports_max > kPortsMax) {
      at("ports", "{} is not 1 to {}", n_.ports_max, kPortsMax);
    }
    std::set<std::uint16_t> seen;
    for (const std::uint16_t vlan : n_.vlans) {
      if (vlan < 1 || vlan > 4094) at("vlans", "{} is not 1 to 4094", vlan);
      if (!seen.insert(vlan).second) at("vlans", "{} is there twice", vlan);
    }
    if (!n_.domain.empty() && !is_domain(n_.domain)) {
      at("domain", "\"{}\" is no domain", printable(n_.domain));
    }
  }

  void plugins() {
    const Step list(r_, "plugins");
    std::set<std::string> seen;
    for (std::size_t i = 0; i < n_.plugins.size(); ++i) {
      const Step element(r_, std::to_string(i));
      const Result<PluginText> plugin = parse_plugin_text(n_.plugins[i]);
      if (!plugin) {
        r_.add(plugin.error().text);
        continue;
      }
      const std::string stem(plugin_stem(plugin.value().file));
      if (seen.insert(stem).second) continue;
      r_.add(
          fmt::format("{} is there twice; all that is said to it stands in one text, with "
                      "semicolons between",
                      printable(stem)));
    }
  }

  void sockets() {
    const Step list(r_, "socket");
    for (std::size_t i = 0; i < n_.sockets.size(); ++i) {
      const SocketConfig& socket = n_.sockets[i];
      const Step element(r_, std::to_string(i));
      if (!socket.path.starts_with('/') || socket.path.size() > kPlugPathMax) {
        at("path", "\"{}\" is neither a name nor an absolute path of at most {} bytes",
           printable(socket.path), kPlugPathMax);
      }
      const auto mode = parse_mode(socket.mode);
      if (!mode || *mode > 0777) {
        at("mode", "\"{}\" is no octal mode like \"0660\"", printable(socket.mode));
      }
      if (socket.vlan != 0 &&
          std::find(n_.vlans.begin(), n_.vlans.end(), socket.vlan) == n_.vlans.end()) {
        at("vlan", "VLAN {} is not among the network's vlans", socket.vlan);
      }
    }
  }

  void host_interface() {
    if (!n_.host) return;
    const HostInterfaceConfig& host = *n_.host;
    const Step section(r_, "host");
    if (!is_interface_name(host.name)) {
      at("name", "\"{}\" is no name of an interface: 1 to {} characters, no slash, no blank",
         printable(host.name), kInterfaceNameMax);
    }
    if (host.address) {
      inside("address", host.address->address);
      if (n_.subnet && host.address->length != n_.subnet->length) {
        at("address", "its /{} is not the subnet's /{}", host.address->length, n_.subnet->length);
      }
    } else if (!host.address6) {
      at("address", "the host has no address; write one as in 192.168.56.1/24");
    }
    if (host.address6) {
      inside6("address6", host.address6->address);
      if (n_.subnet6 && host.address6->length != n_.subnet6->length) {
        at("address6", "its /{} is not the subnet6's /{}", host.address6->length,
           n_.subnet6->length);
      }
    }
    if (host.mtu < kMtuMin || host.mtu > kMtuMax) {
      at("mtu", "{} is not {} to {}", host.mtu, kMtuMin, kMtuMax);
    }
  }

  void dhcp() {
    const DhcpConfig& dhcp = n_.dhcp;
    const Step section(r_, "dhcp");
    if (dhcp.enabled && !n_.subnet) {
      at("enabled", "DHCP needs a subnet; write subnet = \"192.168.60.0/24\"");
    }
    if (dhcp.enabled && n_.subnet && !is_nat() && !n_.dhcp_address) {
      at("enabled", "the DHCP server needs an address; write dhcp_address");
    }
    if (dhcp.lease_time_s == 0) at("lease_time", "a lease lasts at least a second");
    ranges();
    if (dhcp.router) inside("router", *dhcp.router);
    for (std::size_t i = 0; i < dhcp.routes.size(); ++i) {
      const Step list(r_, "route");
      const Step element(r_, std::to_string(i));
      inside("via", dhcp.routes[i].via);
    }
    if (!dhcp.domain.empty() && !is_domain(dhcp.domain)) {
      at("domain", "\"{}\" is no domain", printable(dhcp.domain));
    }
    for (const std::string& domain : dhcp.search) {
      if (!is_domain(domain)) at("search", "\"{}\" is no domain", printable(domain));
    }
    if (!dhcp.tftp_root.empty() && !dhcp.tftp_root.starts_with('/')) {
      at("tftp_root", "\"{}\" is no absolute path", printable(dhcp.tftp_root));
    }
    next_server(dhcp.next_server);
    options(dhcp.options);
  }

  void ranges() {
    std::vector<Ipv4Range> sorted = n_.dhcp.ranges;
    std::sort(sorted.begin(), sorted.end(),
              [](const Ipv4Range& a, const Ipv4Range& b) { return a.first < b.first; });
    for (std::size_t i = 0; i < sorted.size(); ++i) {
      const Ipv4Range& range = sorted[i];
      inside("ranges", range.first);
      if (range.last != range.first) inside("ranges", range.last);
      if (i != 0 && range.first <= sorted[i - 1].last) {
        at("ranges", "{} is in two ranges", range.first.text());
      }
      for (const auto& [number, who] : own_) {
        const Ipv4Address address = Ipv4Address::from_number(number);
        if (range.contains(address)) {
          at("ranges",
             "{}-{} holds {}, which {} has; end one range before it and begin another "
             "behind it",
             range.first.text(), range.last.text(), address.text(), who);
        }
      }
    }
  }

  void next_server(const std::string& text) {
    if (!text.empty() && !Ipv4Address::parse(text)) {
      at("next_server", "\"{}\" is no IPv4 address", printable(text));
    }
  }

  // Some are the server's own words, and each fits a length of one octet several times at most.
  void options(const std::vector<DhcpOptionConfig>& options) {
    std::set<std::uint8_t> seen;
    for (std::size_t i = 0; i < options.size(); ++i) {
      const Step list(r_, "option");
      const Step element(r_, std::to_string(i));
      const std::uint8_t code = options[i].code;
      if (code == 0 || (code >= 50 && code <= 57) || code == 61 || code == 82) {
        at("code", "option {} is the protocol's own", code);
      }
      if (!seen.insert(code).second) at("code", "option {} is there twice", code);
      if (options[i].value.size() > kDhcpOptionMax) {
        r_.add(fmt::format("option {} has {} bytes; there is room for {}", code,
                           options[i].value.size(), kDhcpOptionMax));
      }
    }
  }

  void dns() {
    const Step section(r_, "dns");
    if (n_.dns.enabled && !n_.dns_address) {
      at("enabled", "DNS needs an address to answer at; write dns_address and a subnet");
    }
    for (const std::string& upstream : n_.dns.upstream) {
      if (!is_upstream(upstream)) {
        at("upstream", "\"{}\" is no address of a DNS server, ADDRESS or ADDRESS#PORT",
           printable(upstream));
      }
    }
    if (!n_.dns.resolv_conf.starts_with('/')) {
      at("resolv_conf", "\"{}\" is no absolute path", printable(n_.dns.resolv_conf));
    }
    for (std::size_t i = 0; i < n_.dns.records.size(); ++i) {
      const Step list(r_, "record");
      const Step element(r_, std::to_string(i));
      if (!is_domain(n_.dns.records[i].name)) {
        at("name", "\"{}\" is no name", printable(n_.dns.records[i].name));
      }
    }
  }

  void guests() {
    std::set<std::string> names;
    std::set<std::uint64_t> macs;
    std::map<std::uint32_t, std::string> addresses = own_;
    for (std::size_t i = 0; i < n_.hosts.size(); ++i) {
      const HostConfig& guest = n_.hosts[i];
      const Step list(r_, "guest");
      const Step element(r_, std::to_string(i));
      if (guest.name.empty()) {
        r_.add("a guest has a name; write name = \"vm1\"");
      } else if (!is_domain(guest.name) || IpAddress::parse(guest.name)) {
        at("name", "\"{}\" is no name of a guest: letters, digits and hyphens",
           printable(guest.name));
      } else if (!names.insert(lower(guest.name)).second) {
        at("name", "another guest is called {}", guest.name);
      }
      if (guest.mac && (guest.mac->is_group() || guest.mac->is_zero())) {
        at("mac", "{} is no address of one station", guest.mac->text());
      }
      if (guest.mac && !macs.insert(guest.mac->number()).second) {
        at("mac", "another guest has {}", guest.mac->text());
      }
      if (guest.address) {
        inside("address", *guest.address);
        const auto [other, fresh] = addresses.emplace(guest.address->number(), guest.name);
        if (!fresh) {
          at("address", "{} is taken by {}", guest.address->text(), printable(other->second));
        }
      }
      if (guest.lease_time_s == 0U) at("lease_time", "a lease lasts at least a second");
      next_server(guest.next_server);
      options(guest.options);
    }
  }

  static std::string lower(std::string text) {
    for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return text;
  }

  void policy() {
    const Step section(r_, "policy");
    const auto list = [&](std::string_view key, const std::vector<std::string>& entries) {
      for (const std::string& entry : entries) {
        if (const auto rule = PolicyRule::parse(entry); !rule) at(key, "{}", rule.error().text);
      }
    };
    list("allow", n_.policy.allow);
    list("deny", n_.policy.deny);
    if (n_.policy.flows_max == 0) at("flows_max", "0 lets no guest connect; see restricted");
    if (n_.policy.new_flows_per_s == 0) {
      at("new_flows_per_s", "0 lets no guest connect; see restricted");
    }
  }

  void forwards() {
    for (std::size_t i = 0; i < n_.forwards.size(); ++i) {
      const ForwardConfig& forward = n_.forwards[i];
      const Step list(r_, "forward");
      const Step element(r_, std::to_string(i));
      if (!is_nat()) {
        r_.add(fmt::format("guests of a {} network are reached directly; only nat networks forward",
                           kind_text(n_.kind)));
        return;
      }
      const auto address = IpAddress::parse(forward.guest);
      if (forward.guest.empty() && forward.guest_port != 0) {
        r_.add("the rule names no guest, and there is no first address to lead to");
      } else if (address && address->is_v4()) {
        inside("to", address->v4());
      } else if (address) {
        inside6("to", address->v6());
      }
    }
  }

  const NetworkConfig& n_;
  ConfigReport& r_;
  std::map<std::uint32_t, std::string> own_;  // who has which address
};

}  // namespace

void check_network(const NetworkConfig& network, ConfigReport& report) {
  NetworkCheck(network, report).run();
}

}  // namespace lanyard
