// SPDX-License-Identifier: MIT
#include "switch/network/config_fields.h"

#include <array>

namespace lanyard {
namespace {

constexpr bool kLive = true;
constexpr bool kRestart = false;

template <typename>
struct MemberOf;
template <typename Owner, typename Value>
struct MemberOf<Value Owner::*> {
  using Struct = Owner;
};

// The field of a member: its key, whether it can change under way, and what it means.
template <auto Member>
constexpr auto field(std::string_view key, bool live, std::string_view help) {
  using T = typename MemberOf<decltype(Member)>::Struct;
  return ConfigField<T>{
      key, live, [](const T& owner) { return encode(owner.*Member); },
      [](T& owner, const Json& from, ConfigReport& report) { decode(owner.*Member, from, report); },
      help};
}

template <auto Member>
constexpr auto seconds(std::string_view key, std::string_view help) {
  using T = typename MemberOf<decltype(Member)>::Struct;
  return ConfigField<T>{key, kLive, [](const T& owner) { return encode(owner.*Member); },
                        [](T& owner, const Json& from, ConfigReport& report) {
                          std::uint32_t value = 0;
                          decode_seconds(value, from, report);
                          owner.*Member = value;
                        },
                        help};
}

constexpr std::array kSocketFields{
    field<&SocketConfig::path>("path", kRestart,
                               "directory of the VDE sockets; a name lies in the run directory"),
    field<&SocketConfig::mode>("mode", kRestart, "who may plug in, octal as for chmod"),
    field<&SocketConfig::group>("group", kRestart, "group of the sockets"),
    field<&SocketConfig::vlan>("vlan", kRestart, "VLAN of whoever plugs in here; 0 for none"),
    field<&SocketConfig::trusted>("trusted", kLive, "whoever plugs in here has no guards"),
};

constexpr std::array kHostInterfaceFields{
    field<&HostInterfaceConfig::name>("name", kRestart,
                                      "of the TAP interface, at most 15 characters"),
    field<&HostInterfaceConfig::address>("address", kRestart,
                                         "the host's address with its network"),
    field<&HostInterfaceConfig::address6>("address6", kRestart, "the same for IPv6"),
    field<&HostInterfaceConfig::mtu>("mtu", kRestart, "of the interface"),
    field<&HostInterfaceConfig::owner>("owner", kRestart, "user who may attach to it, too"),
};

constexpr std::array kHostFields{
    field<&HostConfig::name>("name", kLive, "its name, also in DNS"),
    field<&HostConfig::mac>("mac", kLive, "its MAC address"),
    field<&HostConfig::address>("address", kLive, "reserved for it"),
    field<&HostConfig::address6>("address6", kLive, "for DNS and forwards; not handed out"),
    ConfigField<HostConfig>{"lease_time", kLive,
                            [](const HostConfig& host) { return encode(host.lease_time_s); },
                            [](HostConfig& host, const Json& from, ConfigReport& report) {
                              host.lease_time_s.reset();
                              if (is_none<std::uint32_t>(from)) return;
                              decode_seconds(host.lease_time_s.emplace(), from, report);
                            },
                            "for this guest"},
    field<&HostConfig::boot_file>("boot_file", kLive, "for this guest"),
    field<&HostConfig::next_server>("next_server", kLive, "TFTP server for this guest"),
    field<&HostConfig::options>("option", kLive, "more DHCP options for this guest"),
};

constexpr std::array kRouteFields{
    field<&DhcpConfig::Route::destination>("to", kLive, "the network it leads to"),
    field<&DhcpConfig::Route::via>("via", kLive, "the router on this network"),
};

constexpr std::array kDhcpFields{
    field<&DhcpConfig::enabled>("enabled", kRestart, "whether addresses are handed out"),
    field<&DhcpConfig::ranges>("ranges", kLive, "addresses handed out, \"FIRST-LAST\""),
    seconds<&DhcpConfig::lease_time_s>("lease_time", "seconds, or like \"12h\""),
    field<&DhcpConfig::router>("router", kLive, "default route of guests, or \"none\""),
    field<&DhcpConfig::dns>("dns", kLive, "DNS servers told to guests"),
    field<&DhcpConfig::domain>("domain", kLive, "domain told to guests"),
    field<&DhcpConfig::search>("search", kLive, "domains in which guests look for names"),
    field<&DhcpConfig::ntp>("ntp", kLive, "time servers told to guests"),
    field<&DhcpConfig::tftp_root>("tftp_root", kLive, "directory that TFTP serves, read only"),
    field<&DhcpConfig::boot_file>("boot_file", kLive, "what PXE guests load"),
    field<&DhcpConfig::next_server>("next_server", kLive, "TFTP server, when not this one"),
    field<&DhcpConfig::server_name>("server_name", kLive, "name of the TFTP server"),
    field<&DhcpConfig::probe>("probe", kLive, "look for an address in use before it is offered"),
    field<&DhcpConfig::routes>("route", kLive, "routes told to guests"),
    field<&DhcpConfig::options>("option", kLive, "more DHCP options"),
};

constexpr std::array kRecordFields{
    field<&DnsRecordConfig::name>("name", kLive, "a full name, or one below the domain"),
    field<&DnsRecordConfig::address>("address", kLive, "what it means"),
};

constexpr std::array kDnsFields{
    field<&DnsConfig::enabled>("enabled", kRestart, "whether names are answered"),
    field<&DnsConfig::upstream>("upstream", kLive,
                                "servers asked, ADDRESS or ADDRESS#PORT; the host's when empty"),
    field<&DnsConfig::resolv_conf>("resolv_conf", kLive, "file that names the host's servers"),
    field<&DnsConfig::records>("record", kLive, "names of your own"),
};

constexpr std::array kPolicyFields{
    field<&PolicyConfig::host_loopback>("host_loopback", kLive,
                                        "the router's address means the host's 127.0.0.1"),
    field<&PolicyConfig::host_addresses>("host_addresses", kLive,
                                         "guests reach the host's other addresses"),
    field<&PolicyConfig::restricted>("restricted", kLive,
                                     "guests reach nothing outside; forwards still work"),
    field<&PolicyConfig::metadata>("metadata", kLive, "guests reach 169.254.169.254"),
    field<&PolicyConfig::allow>("allow", kLive, "only these: NETWORK[:PORT[-PORT]]"),
    field<&PolicyConfig::deny>("deny", kLive, "not these, whatever allow says"),
    field<&PolicyConfig::flows_max>("flows_max", kLive, "connections of one guest at a time"),
    field<&PolicyConfig::new_flows_per_s>("new_flows_per_s", kLive,
                                          "new connections of one guest in a second"),
};

constexpr std::array kNetworkFields{
    field<&NetworkConfig::kind>("kind", kRestart, "nat, host-only, routed or internal"),
    field<&NetworkConfig::subnet>("subnet", kRestart, "its IPv4 network"),
    field<&NetworkConfig::subnet6>("subnet6", kRestart, "its IPv6 network, or \"none\""),
    field<&NetworkConfig::router>("router", kRestart, "address of the gateway (nat)"),
    field<&NetworkConfig::router6>("router6", kRestart, "the same for IPv6"),
    field<&NetworkConfig::dns_address>("dns_address", kRestart, "where DNS answers"),
    field<&NetworkConfig::dns_address6>("dns_address6", kRestart, "the same for IPv6"),
    field<&NetworkConfig::dhcp_address>("dhcp_address", kRestart,
                                        "where the DHCP server lives, when not at the router"),
    field<&NetworkConfig::domain>("domain", kLive, "names of guests end in it"),
    field<&NetworkConfig::mtu>("mtu", kRestart, "largest packet, told to guests"),
    field<&NetworkConfig::plugs>("plugs", kLive,
                                 "what else is plugged in, as for port/plug: \"tap://NAME\""),
    field<&NetworkConfig::plugins>("plugins", kLive,
                                   "what looks at its frames: \"pdump; pdump/active 1\""),
    field<&NetworkConfig::ports_max>("ports", kRestart, "most ports of its switch"),
    field<&NetworkConfig::vlans>("vlans", kLive, "VLANs of its switch"),
    field<&NetworkConfig::spanning_tree>("spanning_tree", kLive,
                                         "whether its switch runs a spanning tree (RSTP)"),
    field<&NetworkConfig::spanning_tree_priority>("spanning_tree_priority", kLive,
                                                  "the lowest becomes root; 0 to 65535"),
    field<&NetworkConfig::uplink>("uplink", kRestart,
                                  "interface by which guests leave (routed); any when empty"),
    field<&NetworkConfig::outbound_address>("outbound_address", kLive,
                                            "source of outgoing IPv4 (nat)"),
    field<&NetworkConfig::outbound_address6>("outbound_address6", kLive,
                                             "source of outgoing IPv6 (nat)"),
    field<&NetworkConfig::tcp_engine>(
        "tcp_engine", kLive, "direct or libslirp: who carries guests' TCP connections (nat)"),
    field<&NetworkConfig::sockets>("socket", kRestart, "where VMs plug in"),
    field<&NetworkConfig::host>("host", kRestart, "the host's own interface"),
    field<&NetworkConfig::dhcp>("dhcp", kLive, "addresses for guests"),
    field<&NetworkConfig::dns>("dns", kLive, "names for guests"),
    field<&NetworkConfig::policy>("policy", kLive, "what guests may reach (nat)"),
    field<&NetworkConfig::guard>("guard", kLive, "what guests may do to each other"),
    field<&NetworkConfig::hosts>("guest", kLive, "guests known by name"),
    field<&NetworkConfig::forwards>("forward", kLive, "ports of the host that lead to a guest"),
};

constexpr std::array kForwardKeys{
    ConfigKeyHelp{"name", "how to call it"},
    ConfigKeyHelp{"from", "[tcp:|udp:][ADDRESS:]PORT[-PORT] or unix:PATH"},
    ConfigKeyHelp{"to", "GUEST:PORT"},
};
constexpr std::array kDhcpOptionKeys{
    ConfigKeyHelp{"code", "the option's number"},
    ConfigKeyHelp{"hex", "its bytes in hexadecimal"},
    ConfigKeyHelp{"text", "its bytes as text"},
    ConfigKeyHelp{"addresses", "its bytes as IPv4 addresses"},
};
constexpr std::array kControlKeys{
    ConfigKeyHelp{"group", "its members may administer the daemon"},
    ConfigKeyHelp{"viewers", "a group whose members may look"},
};

}  // namespace

std::span<const ConfigField<SocketConfig>> config_fields(const SocketConfig*) {
  return kSocketFields;
}
std::span<const ConfigField<HostInterfaceConfig>> config_fields(const HostInterfaceConfig*) {
  return kHostInterfaceFields;
}
std::span<const ConfigField<HostConfig>> config_fields(const HostConfig*) {
  return kHostFields;
}
std::span<const ConfigField<DhcpConfig::Route>> config_fields(const DhcpConfig::Route*) {
  return kRouteFields;
}
std::span<const ConfigField<DhcpConfig>> config_fields(const DhcpConfig*) {
  return kDhcpFields;
}
std::span<const ConfigField<DnsRecordConfig>> config_fields(const DnsRecordConfig*) {
  return kRecordFields;
}
std::span<const ConfigField<DnsConfig>> config_fields(const DnsConfig*) {
  return kDnsFields;
}
std::span<const ConfigField<PolicyConfig>> config_fields(const PolicyConfig*) {
  return kPolicyFields;
}
std::span<const ConfigField<NetworkConfig>> config_fields(const NetworkConfig*) {
  return kNetworkFields;
}

std::span<const ConfigKeyHelp> forward_keys() {
  return kForwardKeys;
}
std::span<const ConfigKeyHelp> dhcp_option_keys() {
  return kDhcpOptionKeys;
}
std::span<const ConfigKeyHelp> control_keys() {
  return kControlKeys;
}

}  // namespace lanyard
