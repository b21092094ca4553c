// SPDX-License-Identifier: MIT
//
// What guests cannot do, seen from outside: no socket of the host is opened for it.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <set>

#include "backend/gateway/host_addresses.h"
#include "backend/gateway/nat.h"
#include "tests/support/nat_world.h"

namespace lanyard::testing {
namespace {

Octets syn_to(const IpAddress& target, std::uint16_t port) {
  PacketRecipe recipe;
  recipe.source = target.is_v4() ? kGuest4 : kGuest6;
  recipe.destination = target;
  recipe.destination_port = port;
  recipe.flags = kTcpSyn;
  return recipe.frame();
}

Octets datagram_to(const IpAddress& target, std::uint16_t port, std::size_t size = 10) {
  PacketRecipe recipe;
  recipe.source = target.is_v4() ? kGuest4 : kGuest6;
  recipe.destination = target;
  recipe.protocol = kIpProtocolUdp;
  recipe.destination_port = port;
  recipe.payload = numbered_bytes(size);
  return recipe.frame();
}

NetworkConfig guarded() {
  NetworkConfig config = nat_config();
  config.policy.host_loopback = false;
  config.policy.host_addresses = false;
  return config;
}

class NatPolicy : public ::testing::TestWithParam<TcpEngineKind> {};
INSTANTIATE_TEST_SUITE_P(Engines, NatPolicy, both_engines(), engine_name);

// Each of them reaches the host's own services with libslirp alone.
TEST_P(NatPolicy, NoWayToTheHostItself) {
  struct Row {
    const char* target;
    const char* counter;
  };
  const Row rows[] = {
      {"127.0.0.1", "drop_policy_loopback"},     {"127.8.9.10", "drop_policy_loopback"},
      {"0.0.0.0", "drop_policy_unspecified"},    {"10.0.2.2", "drop_policy_router"},
      {"10.0.2.3", "drop_policy_neighbour"},     {"10.0.2.77", "drop_policy_neighbour"},
      {"10.0.2.255", "drop_policy_broadcast"},   {"255.255.255.255", "drop_policy_broadcast"},
      {"224.0.0.251", "drop_policy_multicast"},  {"169.254.169.254", "drop_policy_metadata"},
      {"169.254.1.1", "drop_policy_link_local"}, {"::1", "drop_policy_loopback"},
      {"::", "drop_policy_unspecified"},         {"::ffff:127.0.0.1", "drop_policy_loopback"},
      {"::127.0.0.1", "drop_policy_reserved"},   {"fd00:2::2", "drop_policy_router"},
      {"fd00:2::77", "drop_policy_neighbour"},   {"fe80::1", "drop_policy_link_local"},
      {"ff02::1", "drop_policy_multicast"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.target);
    NatWorld world(guarded(), {}, GetParam());
    for (const bool v6 : {false, true}) {
      const UniqueFd tcp = bound_socket(SOCK_STREAM, v6);
      const UniqueFd udp = bound_socket(SOCK_DGRAM, v6);
      world.send(syn_to(addr(row.target), port_of(tcp.get())));
      world.send(datagram_to(addr(row.target), port_of(udp.get())));
      world.turns(3);
      EXPECT_FALSE(accept_from(tcp));
      Octets got;
      read_into(udp, got);
      EXPECT_TRUE(got.empty());
    }
    EXPECT_EQ(world.counter(row.counter), 4U);
    EXPECT_TRUE(world.nat->flows().empty());
  }
}

TEST_P(NatPolicy, NoWayToTheHostsOtherAddresses) {
  NatWorld world(guarded(), {}, GetParam());
  unsigned tried = 0;
  for (const IpAddress& address : host_addresses()) {
    if (!address.is_v4() || address.v4().is_loopback() ||
        world.config.subnet->contains(address.v4()))
      continue;
    ++tried;
    world.send(syn_to(address, 22));
    EXPECT_EQ(world.counter("drop_policy_host_address"), tried) << address.text();
  }
  EXPECT_TRUE(world.nat->flows().empty());
}

TEST_P(NatPolicy, RefusedConnectionsAreReset) {
  NatWorld world(guarded(), {}, GetParam());
  auto& c = world.guest.connect(kGuest4, addr("127.0.0.1"), 22);
  EXPECT_TRUE(world.until([&] { return c.reset; }));
  world.send(datagram_to(addr("10.0.2.2"), 4000));
  world.turn();
  ASSERT_EQ(world.guest.others.size(), 1U);
  EXPECT_EQ(world.guest.others[0][kIpOffset + kIpv4HeaderSize], 3);       // unreachable
  EXPECT_EQ(world.guest.others[0][kIpOffset + kIpv4HeaderSize + 1], 13);  // prohibited
}

TEST(NatPolicyOnce, RestrictedGuestsStillAnswerForwards) {
  NetworkConfig config = nat_config();
  config.policy.restricted = true;
  config.policy.host_loopback = true;
  NatWorld world(config);
  world.directory.macs[kGuest4] = world.guest.mac;
  world.guest.listen(80);
  ForwardConfig forward;
  forward.name = "web";
  forward.host_address = addr("127.0.0.1");
  forward.host_port = free_port();
  forward.guest = "10.0.2.15";
  forward.guest_port = 80;
  ASSERT_TRUE(world.nat->add_forward(forward).ok());
  const UniqueFd client = connect_to(forward.host_port);
  ASSERT_TRUE(world.until(
      [&] { return !world.guest.connections.empty() && world.guest.connections[0].established; }));
  world.guest.connections[0].to_send = numbered_bytes(1000);
  Octets got;
  EXPECT_TRUE(world.until([&] {
    read_into(client, got);
    return got.size() == 1000;
  }));
  world.send(syn_to(addr("192.0.2.1"), 80));
  EXPECT_EQ(world.counter("drop_policy_restricted"), 1U);
}

TEST_P(NatPolicy, ReconfigurationHoldsForTheNextFlow) {
  NatWorld world(nat_config(), {}, GetParam());
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  auto& first = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  ASSERT_TRUE(world.until([&] { return first.established; }));
  NetworkConfig config = world.config;
  config.policy.host_loopback = false;
  ASSERT_TRUE(world.nat->reconfigure(config).ok());
  auto& second = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  EXPECT_TRUE(world.until([&] { return second.reset; }));
  UniqueFd server;
  first.to_send = numbered_bytes(100);
  Octets got;
  EXPECT_TRUE(world.until([&] {
    if (accept_once(listener, server)) read_into(server, got);
    return got.size() == 100;
  }));
  config.subnet = Ipv4Prefix::parse("10.0.3.0/24");
  EXPECT_EQ(world.nat->reconfigure(config).error().code, EBUSY);
}

TEST(NatPolicyOnce, AReconfigurationThatFailsChangesNothing) {
#ifdef LANYARD_SANITIZED
  GTEST_SKIP() << "UndefinedBehaviorSanitizer looks at objects through a pipe, for which there is "
                  "no descriptor then";
#endif
  NetworkConfig open = nat_config();
  open.policy.host_addresses = true;
  NatWorld world(open);
  ASSERT_TRUE(world.nat->forwards().empty());
  NetworkConfig config = open;
  config.policy.host_addresses = false;
  ForwardConfig forward;
  forward.name = "web";
  forward.unix_path = "/nowhere/socket";
  forward.guest = "10.0.2.15";
  forward.guest_port = 80;
  config.forwards.push_back(forward);
  // The host's addresses, which matter now, cannot be watched without a descriptor.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const Result<void> refused = world.nat->reconfigure(config);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EMFILE);
  EXPECT_TRUE(world.nat->forwards().empty());
}

TEST(NatPolicyOnce, AGuestHasOnlyItsFlows) {
  NetworkConfig config = nat_config();
  config.policy.flows_max = 20;
  config.policy.new_flows_per_s = 30;
  NatWorld world(config);
  const UniqueFd udp = bound_socket(SOCK_DGRAM);
  for (std::uint16_t port = 0; port < 100; ++port) {
    PacketRecipe recipe;
    recipe.source = kGuest4;
    recipe.destination = kRouter4;
    recipe.protocol = kIpProtocolUdp;
    recipe.source_port = static_cast<std::uint16_t>(50000 + port);
    recipe.destination_port = port_of(udp.get());
    recipe.payload = {1, 2, 3};
    world.send(recipe.frame());
  }
  EXPECT_EQ(world.nat->flows().size(), 20U);
  EXPECT_EQ(world.counter("drop_quota_flows"), 80U);
}

TEST_P(NatPolicy, DnsOverTcpGoesToTheGivenPortWhateverThePolicySays) {
  for (const bool v6 : {false, true}) {
    SCOPED_TRACE(v6);
    NatWorld world(guarded(), {}, GetParam());
    const UniqueFd listener = bound_socket(SOCK_STREAM, v6);
    const IpAddress dns = v6 ? addr("fd00:2::3") : addr("10.0.2.3");
    const IpAddress from = v6 ? kGuest6 : kGuest4;
    world.nat->set_dns_tcp_ports(v6 ? 0 : port_of(listener.get()),
                                 v6 ? port_of(listener.get()) : 0);
    auto& c = world.guest.connect(from, dns, 53);
    UniqueFd server;
    ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
    c.to_send = numbered_bytes(5000);
    Octets got;
    std::size_t written = 0;
    EXPECT_TRUE(world.until([&] {
      read_into(server, got);
      if (got.size() == 5000) written += write_from(server, got, written);
      return c.received.size() == 5000;
    }));
    EXPECT_TRUE(c.received == c.to_send);
    ASSERT_EQ(world.nat->flows().size(), 1U);
    EXPECT_EQ(world.nat->flows()[0].target, dns);
    EXPECT_EQ(world.nat->flows()[0].target_port, 53);
    auto& other = world.guest.connect(from, dns, 54);
    EXPECT_TRUE(world.until([&] { return other.reset; }));
  }
}

// The engine lets 500 connections in whose listener it gave a backlog of one.
TEST(NatForward, TakesFiveHundredConnectionsAtOnce) {
  NatWorld world;
  world.directory.macs[kGuest4] = world.guest.mac;
  world.guest.listen(80);
  ForwardConfig forward;
  forward.name = "web";
  forward.host_address = addr("127.0.0.1");
  forward.host_port = free_port();
  forward.guest = "10.0.2.15";
  forward.guest_port = 80;
  ASSERT_TRUE(world.nat->add_forward(forward).ok());
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 500; ++i) clients.push_back(connect_to(forward.host_port));
  const auto established = [&] {
    return std::count_if(world.guest.connections.begin(), world.guest.connections.end(),
                         [](const auto& c) { return c.established; });
  };
  ASSERT_TRUE(world.until([&] { return established() == 500; })) << established();
  std::set<std::string> seen;
  for (const Flow& flow : world.nat->flows()) {
    EXPECT_EQ(flow.forward, "web");
    seen.insert(std::to_string(flow.target_port));
  }
  EXPECT_EQ(seen.size(), 500U);
}

// Of this process, at Internet addresses.
std::size_t internet_listeners() {
  std::size_t count = 0;
  for (int fd = 0; fd < 1024; ++fd) {
    int domain = 0;
    int listening = 0;
    socklen_t size = sizeof domain;
    if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain == AF_UNIX) continue;
    ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    count += listening != 0 ? 1 : 0;
  }
  return count;
}

TEST(NatForward, ByUnixSocket) {
  NatWorld world;
  world.directory.macs[kGuest4] = world.guest.mac;
  world.guest.listen(80);
  ForwardConfig forward;
  forward.name = "socket";
  forward.unix_path = ::testing::TempDir() + "/nat-forward-" + std::to_string(::getpid());
  forward.guest = "10.0.2.15";
  forward.guest_port = 80;
  const auto added = world.nat->add_forward(forward);
  ASSERT_TRUE(added.ok()) << added.error().text;
  EXPECT_EQ(internet_listeners(), 0U) << "the one that libslirp made is gone";
  struct stat status {};
  ASSERT_EQ(::stat(forward.unix_path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  forward.unix_path.copy(name.sun_path, sizeof name.sun_path - 1);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&name), sizeof name), 0);
  ASSERT_TRUE(world.until(
      [&] { return !world.guest.connections.empty() && world.guest.connections[0].established; }));
  EXPECT_EQ(world.nat->flows().at(0).forward, "socket");
  ASSERT_TRUE(world.nat->remove_forward("socket").ok());
  EXPECT_NE(::stat(forward.unix_path.c_str(), &status), 0);
}

TEST(NatForward, FollowsANameAndItsAddress) {
  NatWorld world;
  ForwardConfig forward;
  forward.name = "web";
  forward.host_address = addr("127.0.0.1");
  forward.host_port = free_port();
  forward.guest = "web";
  forward.guest_port = 80;
  ASSERT_TRUE(world.nat->add_forward(forward).ok());
  EXPECT_FALSE(world.nat->forwards()[0].listening);
  EXPECT_EQ(world.nat->forwards()[0].problem, "waits for a guest called web");
  world.guest.listen(80);
  for (const char* address : {"10.0.2.15", "10.0.2.16"}) {
    world.guest.connections.clear();
    world.directory.names["web"] = {addr(address)};
    world.directory.macs[addr(address)] = world.guest.mac;
    world.nat->guests_changed();
    EXPECT_TRUE(world.nat->forwards()[0].listening);
    const UniqueFd client = connect_to(forward.host_port);
    ASSERT_TRUE(world.until([&] {
      return !world.guest.connections.empty() && world.guest.connections[0].established;
    }));
    EXPECT_EQ(world.guest.connections[0].guest, addr(address));
  }
}

TEST(NatForward, ToASilentGuestAsksForItByArp) {
  NatWorld world;
  world.guest.listen(80);
  ForwardConfig forward;
  forward.name = "web";
  forward.host_address = addr("127.0.0.1");
  forward.host_port = free_port();
  forward.guest = "10.0.2.99";
  forward.guest_port = 80;
  ASSERT_TRUE(world.nat->add_forward(forward).ok());
  const UniqueFd client = connect_to(forward.host_port);
  ASSERT_TRUE(world.until([&] { return !world.guest.arp_requests.empty(); }));
  EXPECT_EQ(world.guest.arp_requests[0].text(), "10.0.2.99");
  Octets reply(kIpOffset + 28);
  put_octets(reply, 6, world.guest.mac.bytes());
  put_octets(reply, 12, Octets{8, 6, 0, 1, 8, 0, 6, 4, 0, 2});
  put_octets(reply, 22, world.guest.mac.bytes());
  put_octets(reply, 28, Octets{10, 0, 2, 99});
  world.send(reply);
  EXPECT_TRUE(world.until(
      [&] { return !world.guest.connections.empty() && world.guest.connections[0].established; }));
}

TEST(NatForward, SaysWhoHasThePort) {
  NatWorld world;
  const UniqueFd taken = bound_socket(SOCK_STREAM);
  ForwardConfig forward;
  forward.name = "web";
  forward.host_address = addr("127.0.0.1");
  forward.host_port = port_of(taken.get());
  forward.guest = "10.0.2.15";
  forward.guest_port = 80;
  const auto refused = world.nat->add_forward(forward);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, EADDRINUSE);
  EXPECT_NE(refused.error().text.find(fmt::format("by a process of user {};", ::geteuid())),
            std::string::npos)
      << refused.error().text;
  EXPECT_TRUE(world.nat->forwards().empty());
}

struct MtuRow {
  std::uint32_t mtu;
  bool v6;
};
class NatUdp : public ::testing::TestWithParam<MtuRow> {};
INSTANTIATE_TEST_SUITE_P(Mtus, NatUdp,
                         ::testing::Values(MtuRow{1280, false}, MtuRow{1500, false},
                                           MtuRow{9000, false}, MtuRow{1280, true},
                                           MtuRow{1500, true}, MtuRow{9000, true}));

// Puts fragments together; of one datagram, in order.
Octets datagram_of(const std::vector<Octets>& frames, bool v6) {
  Octets payload;
  for (const Octets& frame : frames) {
    const std::size_t header = !v6 ? 34U : (frame[20] == 44 ? 62U : 54U);
    const std::size_t offset = !v6 ? (load_u16(frame, 20) & 0x1fffU) * 8U
                                   : (frame[20] == 44 ? load_u16(frame, 56) & 0xfff8U : 0U);
    EXPECT_EQ(offset, payload.size());
    payload.insert(payload.end(), frame.begin() + static_cast<std::ptrdiff_t>(header), frame.end());
  }
  return payload;
}

TEST_P(NatUdp, RepliesOf8KiBFitTheGuestsMtu) {
  const auto [mtu, v6] = GetParam();
  NetworkConfig config = nat_config();
  config.mtu = mtu;
  NatWorld world(config);
  const UniqueFd server = bound_socket(SOCK_DGRAM, v6);
  world.send(datagram_to(v6 ? kRouter6 : kRouter4, port_of(server.get()), 100));
  Octets request(65536);
  LoopbackName from;
  from.size = sizeof from.storage;
  ssize_t got = -1;
  ASSERT_TRUE(world.until([&] {
    got = ::recvfrom(server.get(), request.data(), request.size(), 0, from.any(), &from.size);
    return got > 0;
  }));
  EXPECT_EQ(got, 100);
  const Octets reply = numbered_bytes(8192);
  ASSERT_EQ(::sendto(server.get(), reply.data(), reply.size(), 0, from.any(), from.size), 8192);
  const std::size_t frames = (8200 + mtu - 60) / (mtu - 60);
  ASSERT_TRUE(world.until([&] {
    std::size_t all = 0;
    for (const Octets& frame : world.guest.others) all += frame.size();
    return all >= 8200 + world.guest.others.size() * 34;
  })) << frames;
  Octets whole = datagram_of(world.guest.others, v6);
  ASSERT_EQ(whole.size(), 8200U);
  EXPECT_TRUE(Octets(whole.begin() + 8, whole.end()) == reply);
}

class NatEngine : public ::testing::TestWithParam<TcpEngineKind> {};
INSTANTIATE_TEST_SUITE_P(Engines, NatEngine, both_engines(), engine_name);

TEST_P(NatEngine, WaitsWhenTheSwitchHasNoRoom) {
  NatWorld world(nat_config(), {}, GetParam());
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  auto& c = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  world.turns(3);
  world.guest.room = false;
  world.send(datagram_to(kRouter4, 9));  // anything that ends a batch
  const Octets down = numbered_bytes(1'000'000);
  std::size_t written = write_from(server, down, 0);
  const std::uint64_t before = world.guest.frames_in;
  world.turns(50);
  EXPECT_EQ(world.guest.frames_in, before);
  world.guest.room = true;
  world.nat->resume();
  EXPECT_TRUE(world.until([&] {
    written += write_from(server, down, written);
    return c.received.size() == down.size();
  }));
  EXPECT_TRUE(c.received == down);
}

// More guests than libslirp remembers, all at once.
TEST_P(NatEngine, AnswersFortyGuestsAtOnce) {
  NatWorld world(nat_config(), {}, GetParam());
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  for (std::uint32_t i = 0; i < 40; ++i) {
    world.guest.connect(Ipv4Address::from_number(0x0a000214 + i), kRouter4,
                        port_of(listener.get()));
  }
  EXPECT_TRUE(world.until(
      [&] {
        return std::all_of(world.guest.connections.begin(), world.guest.connections.end(),
                           [](const auto& c) { return c.established; });
      },
      4500))
      << "without a retransmission";
}

TEST(Nat, PutsSegmentsInOrder) {
  NatWorld world(nat_config(), {}, TcpEngineKind::libslirp);
  const UniqueFd listener = bound_socket(SOCK_STREAM);
  auto& c = world.guest.connect(kGuest4, kRouter4, port_of(listener.get()));
  UniqueFd server;
  ASSERT_TRUE(world.until([&] { return accept_once(listener, server) && c.established; }));
  world.turns(3);
  const Octets data = numbered_bytes(10'000);
  for (const unsigned piece : {3U, 1U, 4U, 2U, 2U, 9U, 7U, 8U, 5U, 6U, 0U}) {
    PacketRecipe recipe;
    recipe.source = kGuest4;
    recipe.destination = kRouter4;
    recipe.source_port = c.port;
    recipe.destination_port = c.peer_port;
    recipe.sequence = c.next + piece * 1000;
    recipe.acknowledgement = c.expected;
    recipe.payload.assign(data.begin() + piece * 1000, data.begin() + (piece + 1) * 1000);
    world.send(recipe.frame());
  }
  Octets got;
  ASSERT_TRUE(world.until([&] {
    read_into(server, got);
    return got.size() == data.size();
  }));
  EXPECT_TRUE(got == data);
  EXPECT_EQ(world.counter("segments_held_for_order"), 9U);
  EXPECT_EQ(c.unacknowledged, c.next + 10'000);
}

TEST_P(NatEngine, ResetsWhatBelongsToNoFlow) {
  NatWorld world(nat_config(), {}, GetParam());
  PacketRecipe recipe;
  recipe.source = kGuest4;
  recipe.destination = addr("192.0.2.1");
  recipe.sequence = 77;
  recipe.acknowledgement = 88;
  recipe.payload = {1, 2, 3};
  world.send(recipe.frame());
  world.turn();
  ASSERT_EQ(world.counter("drop_no_flow"), 1U);
  EXPECT_EQ(world.counter("resets_sent"), 1U);
}

}  // namespace
}  // namespace lanyard::testing
