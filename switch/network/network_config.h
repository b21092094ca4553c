// SPDX-License-Identifier: MIT
//
// What a user asks for: networks, as a value that can be compared, copied, checked, written as TOML
// for people (config_file.h) and as JSON for the gateway process and for --json (config_json.h).
// Everything is resolved: defaults are filled in when a file is read, so that two equal values mean
// the same network, and the difference of two values is the list of what has to change.
// Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "switch/frame/mac_address.h"
#include "switch/network/guard_settings.h"
#include "switch/network/ip_address.h"

namespace lanyard {

enum class NetworkKind : std::uint8_t {
  nat,        // gateway with address translation; needs no right
  host_only,  // the host and its guests
  routed,     // host-only, and the kernel forwards and masquerades
  internal,   // guests only
};

// "10.0.2.15-10.0.2.254", both ends included.
struct Ipv4Range {
  Ipv4Address first;
  Ipv4Address last;
  bool contains(Ipv4Address a) const { return first <= a && a <= last; }
  friend bool operator==(const Ipv4Range&, const Ipv4Range&) = default;
};

// Where VMs plug in.
struct SocketConfig {
  std::string path;           // of the VDE directory
  std::string mode = "0600";  // octal, of the sockets in it
  std::string group;          // empty: the process's own
  std::uint16_t vlan = 0;     // access VLAN of whoever plugs in here; 0: none
  bool trusted = false;       // whoever plugs in here is on the host's side: no guards
  friend bool operator==(const SocketConfig&, const SocketConfig&) = default;
};

// A TAP interface of the host with an address: what makes a network host-only or routed.
struct HostInterfaceConfig {
  std::string name;                   // "lanyard0"
  std::optional<Ipv4Prefix> address;  // the host's, 192.168.56.1/24
  std::optional<Ipv6Prefix> address6;
  std::uint32_t mtu = 1500;
  std::string owner;  // user who may attach to it; empty: nobody else
  friend bool operator==(const HostInterfaceConfig&, const HostInterfaceConfig&) = default;
};

// A DHCP option as it goes out: the code and the bytes of its value.
struct DhcpOptionConfig {
  std::uint8_t code = 0;
  std::vector<std::uint8_t> value;
  friend bool operator==(const DhcpOptionConfig&, const DhcpOptionConfig&) = default;
};

// A guest the user knows by name.
struct HostConfig {
  std::string name;  // also its DNS name
  std::optional<MacAddress> mac;
  std::optional<Ipv4Address> address;   // reserved for it
  std::optional<Ipv6Address> address6;  // for DNS and forwards; not handed out
  std::optional<std::uint32_t> lease_time_s;
  std::string boot_file;
  std::string next_server;  // an IPv4 address
  std::vector<DhcpOptionConfig> options;
  friend bool operator==(const HostConfig&, const HostConfig&) = default;
};

struct DhcpConfig {
  bool enabled = false;
  std::vector<Ipv4Range> ranges;
  std::uint32_t lease_time_s = 86400;
  std::optional<Ipv4Address> router;  // option 3; none on host-only unless asked for
  std::vector<Ipv4Address> dns;       // option 6
  std::string domain;                 // option 15
  std::vector<std::string> search;    // option 119
  std::vector<Ipv4Address> ntp;       // option 42
  struct Route {                      // option 121
    Ipv4Prefix destination;
    Ipv4Address via;
    friend bool operator==(const Route&, const Route&) = default;
  };
  std::vector<Route> routes;
  std::string tftp_root;    // a directory, read only; empty: no TFTP
  std::string boot_file;    // option 67
  std::string next_server;  // empty: the server itself when tftp_root is set
  std::string server_name;  // option 66
  bool probe = true;        // ARP for an address before it is offered
  std::vector<DhcpOptionConfig> options;
  friend bool operator==(const DhcpConfig&, const DhcpConfig&) = default;
};

struct DnsRecordConfig {
  std::string name;  // a full name, or one below the network's domain
  IpAddress address;
  friend bool operator==(const DnsRecordConfig&, const DnsRecordConfig&) = default;
};

struct DnsConfig {
  bool enabled = false;
  std::vector<std::string> upstream;  // "ADDRESS" or "ADDRESS#PORT"; empty: those of resolv.conf
  std::string resolv_conf = "/etc/resolv.conf";
  std::vector<DnsRecordConfig> records;
  friend bool operator==(const DnsConfig&, const DnsConfig&) = default;
};

enum class Transport : std::uint8_t { tcp, udp };

// From the host to a guest. Named; the name is what `forward delete` takes.
struct ForwardConfig {
  std::string name;
  Transport transport = Transport::tcp;
  std::string unix_path;   // listens there instead of at an address (tcp only)
  IpAddress host_address;  // 0.0.0.0 or ::, all
  std::uint16_t host_port = 0;
  std::uint16_t ports = 1;  // how many, from both first ports upwards
  std::string guest;        // an IPv4 or IPv6 address, or the name of a guest
  std::uint16_t guest_port = 0;
  friend bool operator==(const ForwardConfig&, const ForwardConfig&) = default;
};

// What guests of a nat network may reach. Deny wins over allow; an empty allow list allows all.
struct PolicyConfig {
  bool host_loopback = false;  // the router address means the host's own 127.0.0.1 / ::1
  bool host_addresses = true;  // the host's other addresses (on its LAN, its bridges)
  bool restricted = false;     // nothing outside; forwards still work
  bool metadata = false;       // 169.254.169.254
  std::vector<std::string>
      allow;  // "10.0.0.0/8", "::/0", "192.0.2.1"; ":PORT" or ":FIRST-LAST" behind
  std::vector<std::string> deny;
  std::uint32_t flows_max = 1024;       // per guest
  std::uint32_t new_flows_per_s = 200;  // per guest, with a burst of as many
  friend bool operator==(const PolicyConfig&, const PolicyConfig&) = default;
};

// Whose an IP address is, for source guard and ARP inspection. Guests with addresses need none.
struct BindingConfig {
  MacAddress mac;
  IpAddress address;
  friend bool operator==(const BindingConfig&, const BindingConfig&) = default;
};

// What guests may do to each other and to the network (lanyard-networks(7)).
struct GuardConfig {
  GuardSettings guests;              // of every port that is not trusted
  std::vector<std::string> trusted;  // kinds of backends whose ports are: "tap"
  std::vector<BindingConfig> bindings;
  std::vector<BandwidthGroup> groups;
  friend bool operator==(const GuardConfig&, const GuardConfig&) = default;
};

// Who carries the TCP connections that guests of a nat network open.
enum class TcpEngineKind : std::uint8_t {
  direct,    // our own: each is spliced to a socket of the host
  libslirp,  // a second TCP lies between
};

struct NetworkConfig {
  std::string name;
  NetworkKind kind = NetworkKind::internal;
  std::vector<SocketConfig> sockets;
  std::vector<std::string> plugs;    // backend URLs, plugged in besides: "tap://guest0"
  std::vector<std::string> plugins;  // with what is said to each, see plugin_text.h
  std::uint16_t ports_max = 256;
  bool spanning_tree = false;
  std::uint16_t spanning_tree_priority = 0x8000;
  std::vector<std::uint16_t> vlans;
  std::uint32_t mtu = 1500;  // what guests are told

  std::optional<Ipv4Prefix> subnet;
  std::optional<Ipv6Prefix> subnet6;
  // Addresses of the gateway process; each answers ARP or ND for it.
  std::optional<Ipv4Address> router;        // nat: .2
  std::optional<Ipv4Address> dns_address;   // nat: .3
  std::optional<Ipv4Address> dhcp_address;  // host-only, routed: where the server lives (.100)
  std::optional<Ipv6Address> router6;       // nat: ::2
  std::optional<Ipv6Address> dns_address6;  // nat: ::3
  std::string domain;                       // names of guests end in it; may be empty

  std::optional<HostInterfaceConfig> host;  // host_only, routed
  std::string uplink;                       // routed: leaves by this interface; empty: by any

  DhcpConfig dhcp;
  DnsConfig dns;
  std::vector<HostConfig> hosts;
  std::vector<ForwardConfig> forwards;  // nat
  PolicyConfig policy;                  // nat
  GuardConfig guard;
  std::string outbound_address;  // nat: source of outgoing IPv4; empty: the system's choice
  std::string outbound_address6;
  TcpEngineKind tcp_engine = TcpEngineKind::libslirp;  // nat

  // Whether a gateway process serves it.
  bool needs_gateway() const { return kind == NetworkKind::nat || dhcp.enabled || dns.enabled; }
  friend bool operator==(const NetworkConfig&, const NetworkConfig&) = default;
};

struct Configuration {
  std::vector<NetworkConfig> networks;  // by name, ascending
  std::string control_group;            // members may administer; empty: only the owner and root
  std::string viewer_group;             // members may look; empty: who may administer
  friend bool operator==(const Configuration&, const Configuration&) = default;
};

}  // namespace lanyard
