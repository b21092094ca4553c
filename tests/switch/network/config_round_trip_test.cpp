// SPDX-License-Identifier: MIT
//
// What is written reads back: any configuration that makes sense, as TOML and as JSON.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "switch/network/config_diff.h"
#include "switch/network/config_file.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

template <typename T>
T one_of(std::vector<T> values) {
  return *rc::gen::elementOf(std::move(values));
}

bool coin() {
  return *rc::gen::arbitrary<bool>();
}

template <typename T>
T number(T least, T most) {
  return static_cast<T>(*rc::gen::inRange<std::uint32_t>(static_cast<std::uint32_t>(least),
                                                         static_cast<std::uint32_t>(most) + 1));
}

// Text that a file could spoil.
std::string any_text() {
  return one_of<std::string>({"", "plain", "with \"quotes\"", "back\\slash", "tab\tand\nline",
                              "\x7f", "M\xc3\xbcller", "none of it", "#", "'", "\"\"\""});
}

SocketConfig any_socket(const std::string& network, std::size_t i, const NetworkConfig& n) {
  SocketConfig socket;
  socket.path = "/tmp/" + network + std::to_string(i);
  socket.mode = one_of<std::string>({"0600", "0660", "666"});
  if (coin()) socket.group = any_text();
  if (!n.vlans.empty() && coin()) socket.vlan = n.vlans.front();
  return socket;
}

DhcpOptionConfig any_option() {
  return {number<std::uint8_t>(128, 130), *rc::gen::arbitrary<std::vector<std::uint8_t>>()};
}

void change_dhcp(NetworkConfig& n) {
  DhcpConfig& dhcp = n.dhcp;
  const Ipv4Prefix& subnet = *n.subnet;
  if (coin()) dhcp.lease_time_s = number<std::uint32_t>(1, 1000000);
  if (coin()) dhcp.ranges = {{subnet.at(30), subnet.at(40)}, {subnet.at(50), subnet.at(50)}};
  if (coin()) dhcp.router = std::nullopt;
  if (coin()) dhcp.router = subnet.at(9);
  if (coin()) dhcp.dns = {subnet.at(9), subnet.at(10)};
  if (coin()) dhcp.dns.clear();
  if (coin()) dhcp.domain = one_of<std::string>({"", "example.org"});
  if (coin()) dhcp.search = {"a.example", "b.example"};
  if (coin()) dhcp.ntp = {subnet.at(9)};
  if (coin()) dhcp.routes = {{*Ipv4Prefix::parse("172.31.0.0/16"), subnet.at(9)}};
  if (coin()) dhcp.tftp_root = "/srv/" + any_text();
  if (coin()) dhcp.boot_file = any_text();
  if (coin()) dhcp.next_server = "10.1.1.1";
  if (coin()) dhcp.server_name = any_text();
  dhcp.probe = coin();
  if (coin()) dhcp.options = {any_option()};
}

void change_guests(NetworkConfig& n) {
  HostConfig guest;
  guest.name = "vm1";
  if (coin()) guest.mac = MacAddress::from_number(0x525400000001);
  if (coin()) guest.address = n.subnet->at(60);
  if (coin()) guest.address6 = *Ipv6Address::parse("fd00::60");
  if (coin()) guest.lease_time_s = number<std::uint32_t>(1, 100000);
  if (coin()) guest.boot_file = any_text();
  if (coin()) guest.next_server = "10.1.1.1";
  if (coin()) guest.options = {any_option()};
  n.hosts = {guest};
  if (coin()) n.hosts.emplace_back().name = "vm2";
}

void change_forwards(NetworkConfig& n, std::uint16_t first_port) {
  ForwardConfig forward;
  forward.name = one_of<std::string>({"ssh", "a name, \"quoted\""});
  forward.transport = coin() ? Transport::udp : Transport::tcp;
  forward.host_address =
      *IpAddress::parse(one_of<std::string>({"0.0.0.0", "127.0.0.1", "::1", "::"}));
  forward.host_port = first_port;
  forward.ports = number<std::uint16_t>(1, 9);
  forward.guest = one_of<std::string>({"vm1", n.subnet->at(60).text()});
  forward.guest_port = number<std::uint16_t>(1, 60000);
  n.forwards = {forward};
  if (!coin()) return;
  ForwardConfig unix_forward;
  unix_forward.name = "unix";
  unix_forward.unix_path = "/tmp/" + n.name + ".sock";
  unix_forward.guest = "vm1";
  unix_forward.guest_port = 80;
  n.forwards.push_back(unix_forward);
}

void change_policy(PolicyConfig& policy) {
  policy.host_loopback = coin();
  policy.host_addresses = coin();
  policy.restricted = coin();
  policy.metadata = coin();
  if (coin()) policy.allow = {"10.0.0.0/8:80-443", "::/0"};
  if (coin()) policy.deny = {"192.0.2.1", "[2001:db8::/32]:53"};
  if (coin()) policy.flows_max = number<std::uint32_t>(1, 100000);
}

// Begins with what the defaults make of a few lines, then changes anything.
Configuration any_configuration() {
  Configuration configuration;
  const int count = number<int>(0, 4);
  for (int i = 0; i < count; ++i) {
    const std::string name =
        std::string(1, static_cast<char>('a' + i)) + one_of<std::string>({"", "-b.c"});
    const std::string kind = one_of<std::string>({"nat", "host-only", "routed", "internal"});
    std::string text = "[network.\"" + name + "\"]\nkind = \"" + kind + "\"\nsubnet = \"10." +
                       std::to_string(i) + ".7.0/24\"\n";
    if (kind == "nat" && coin()) text += "subnet6 = 'none'\n";
    if (coin())
      text += "[network.\"" + name + "\".dns]\nenabled = " + (coin() ? "true\n" : "false\n");
    if (coin())
      text += "[network.\"" + name + "\".dhcp]\nenabled = " + (coin() ? "true\n" : "false\n");
    const ConfigOutcome outcome = parse_config(text, "base");
    RC_ASSERT(outcome.problems.empty() || kind == "internal" || kind == "host-only");
    RC_PRE(outcome.problems.empty());
    NetworkConfig n = outcome.configuration.networks.front();
    if (coin()) n.mtu = number<std::uint32_t>(1280, 9000);
    if (coin()) n.vlans = {7, 20, 4094};
    if (coin()) n.plugins = {"acl; acl/default deny", "/usr/lib/x.so"};
    if (coin()) n.ports_max = number<std::uint16_t>(1, 4096);
    if (coin()) n.spanning_tree = true;
    if (coin()) n.spanning_tree_priority = number<std::uint16_t>(0, 65535);
    if (coin()) n.domain = one_of<std::string>({"", "lab.example"});
    if (coin()) n.sockets = {any_socket(name, 0, n), any_socket(name, 1, n)};
    if (coin()) n.sockets.clear();
    if (n.dhcp.enabled) change_dhcp(n);
    if (coin()) change_guests(n);
    if (coin()) n.dns.records = {{"web", *IpAddress::parse("fd00::1")}, {"web", IpAddress()}};
    if (coin()) n.dns.upstream = {"9.9.9.9#53", "2620:fe::fe"};
    if (n.host && coin()) n.host->name = "tap" + std::to_string(i);
    if (n.host && coin()) n.host->owner = any_text();
    if (kind == "nat" && coin()) change_policy(n.policy);
    if (kind == "nat" && coin()) change_forwards(n, static_cast<std::uint16_t>(2000 + i * 10));
    if (kind == "nat" && coin()) n.outbound_address = "192.0.2.7";
    if (kind == "nat" && coin()) n.tcp_engine = TcpEngineKind::libslirp;
    if (kind == "routed" && coin()) n.uplink = "eth0";
    configuration.networks.push_back(n);
  }
  if (coin()) configuration.control_group = any_text();
  if (coin()) configuration.viewer_group = any_text();
  return configuration;
}

RC_GTEST_PROP(ConfigRoundTrip, TomlReadsBackAsTheSameValue, ()) {
  const Configuration configuration = any_configuration();
  const std::string text = config_text(configuration);
  const ConfigOutcome outcome = parse_config(text, "written");
  std::string messages;
  for (const ConfigProblem& problem : outcome.problems) messages += problem.message() + "\n";
  RC_LOG(text);
  RC_LOG(messages);
  RC_ASSERT(outcome.problems.empty());
  for (const ConfigChange& change : diff(configuration, outcome.configuration)) {
    for (const std::string& sentence : change.sentences) RC_LOG(sentence);
  }
  RC_ASSERT(outcome.configuration == configuration);
}

RC_GTEST_PROP(ConfigRoundTrip, JsonReadsBackAsTheSameValue, ()) {
  for (const NetworkConfig& network : any_configuration().networks) {
    const auto line = parse_json(to_json(network).dump());
    RC_ASSERT(line.ok());
    const auto read = network_from_json(line.value());
    RC_ASSERT(read.ok());
    RC_ASSERT(read.value() == network);
  }
}

RC_GTEST_PROP(ConfigRoundTrip, TheDifferenceIsEmptyExactlyWhenTheValuesAreEqual, ()) {
  const Configuration from = any_configuration();
  const Configuration to = any_configuration();
  RC_ASSERT(diff(from, from).empty());
  const auto changes = diff(from, to);
  RC_ASSERT(changes.empty() == (from == to));
  for (const ConfigChange& change : changes) RC_ASSERT(!change.sentences.empty());
}

}  // namespace
}  // namespace lanyard
