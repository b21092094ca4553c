// SPDX-License-Identifier: MIT
//
// UDP of a guest through real sockets: what servers on loopback see of it, and what comes back.
#include "backend/gateway/udp_relay.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "tests/support/net_space.h"
#include "tests/support/udp_guest.h"

namespace lanyard::testing {
namespace {

// A datagram as a server sees it.
struct Seen {
  Octets payload;
  LoopbackName from;
};

std::optional<Seen> take(const UniqueFd& server) {
  Seen seen{Octets(65536), {}};
  seen.from.size = sizeof seen.from.storage;
  const ssize_t size = ::recvfrom(server.get(), seen.payload.data(), seen.payload.size(), 0,
                                  seen.from.any(), &seen.from.size);
  if (size < 0) return std::nullopt;
  seen.payload.resize(static_cast<std::size_t>(size));
  return seen;
}

std::vector<Seen> take_all(const UniqueFd& server) {
  std::vector<Seen> all;
  while (auto one = take(server)) all.push_back(std::move(*one));
  return all;
}

std::uint16_t port_in(const LoopbackName& name) {
  sockaddr_in in{};
  std::memcpy(&in, &name.storage, sizeof in);
  return ntohs(in.sin_port);  // in the same place for both families
}

void answer(const UniqueFd& server, const Octets& payload, LoopbackName to) {
  ASSERT_EQ(::sendto(server.get(), payload.data(), payload.size(), 0, to.any(), to.size),
            static_cast<ssize_t>(payload.size()));
}

Octets numbered(std::size_t size, unsigned number) {
  Octets bytes(size);
  std::iota(bytes.begin(), bytes.end(), static_cast<std::uint8_t>(number));
  return bytes;
}

class UdpRelayTest : public ::testing::TestWithParam<bool> {
 protected:
  bool v6() const { return GetParam(); }
  IpAddress router() const { return v6() ? kRouter6 : kRouter4; }
  UniqueFd server() const { return bound_socket(SOCK_DGRAM, v6()); }
  DatagramRecipe to(const UniqueFd& server, Octets payload = {1, 2, 3}) const {
    return {router(), port_of(server.get()), std::move(payload)};
  }
  // One batch.
  void send(std::vector<Octets> frames) {
    std::vector<Nat::Input> inputs;
    for (Octets& frame : frames) inputs.push_back({frame, {}});
    world.nat->input(inputs);
    world.guest.step(*world.nat);
  }
  // What the guest has got when it is so many.
  std::vector<DatagramToGuest> received(std::size_t count) {
    EXPECT_TRUE(world.until([&] { return datagrams_to(world.guest).size() >= count; }));
    return datagrams_to(world.guest);
  }

  NatWorld world;
};

INSTANTIATE_TEST_SUITE_P(Families, UdpRelayTest, ::testing::Bool(),
                         [](const auto& row) { return row.param ? "Ipv6" : "Ipv4"; });

TEST_P(UdpRelayTest, CarriesDatagramsOfEveryLengthBothWays) {
  for (const std::size_t size : {0U, 1U, 1400U, 1472U, 9000U, 40000U, 65507U}) {
    SCOPED_TRACE(size);
    world.guest.others.clear();
    const UniqueFd host = server();
    send({to(host, numbered_bytes(size)).frame()});
    const auto seen = take(host);
    ASSERT_TRUE(seen);
    EXPECT_TRUE(seen->payload == numbered_bytes(size));
    const Octets reply(seen->payload.rbegin(), seen->payload.rend());
    answer(host, reply, seen->from);
    const auto got = received(1);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].from, router());
    EXPECT_EQ(got[0].from_port, port_of(host.get()));
    EXPECT_EQ(got[0].port, 40000);
    EXPECT_TRUE(got[0].payload == reply);
  }
}

// RFC 4787 REQ-1 and REQ-8.
TEST_P(UdpRelayTest, APortOfTheGuestIsOnePortOutsideAndOpenToAll) {
  const UniqueFd first = server();
  const UniqueFd second = server();
  const UniqueFd stranger = server();
  send({to(first).frame(), to(second).frame()});
  const auto at_first = take(first);
  const auto at_second = take(second);
  ASSERT_TRUE(at_first && at_second);
  EXPECT_EQ(port_in(at_first->from), port_in(at_second->from));
  answer(stranger, {7}, at_first->from);
  const auto got = received(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].from_port, port_of(stranger.get()));
  EXPECT_EQ(world.nat->flows().size(), 3U);
  // And another port is another one.
  DatagramRecipe other = to(first);
  other.from_port = 40001;
  send({other.frame()});
  const auto at_first_again = take(first);
  ASSERT_TRUE(at_first_again);
  EXPECT_NE(port_in(at_first_again->from), port_in(at_first->from));
}

// Whatever is gathered to one message: the servers see each datagram, of its length, in order.
TEST_P(UdpRelayTest, ABatchLosesNoBoundary) {
  std::mt19937 random(7);
  const UniqueFd hosts[] = {server(), server(), server()};
  for (int batch = 0; batch < 40; ++batch) {
    std::vector<Octets> frames;
    std::vector<Octets> expected[3];
    std::size_t size = 100;
    for (unsigned i = 0; i < 64; ++i) {
      if (random() % 6 == 0) size = random() % 1473;
      const std::size_t host = random() % 8 == 0 ? random() % 3 : 0;
      expected[host].push_back(numbered(size, i));
      frames.push_back(to(hosts[host], numbered(size, i)).frame());
    }
    send(std::move(frames));
    for (std::size_t host = 0; host < 3; ++host) {
      const auto seen = take_all(hosts[host]);
      ASSERT_EQ(seen.size(), expected[host].size());
      for (std::size_t i = 0; i < seen.size(); ++i) {
        ASSERT_TRUE(seen[i].payload == expected[host][i]) << i;
      }
    }
  }
  EXPECT_GT(world.counter("datagrams_joined"), 500U);
}

TEST_P(UdpRelayTest, AFrameOfManyDatagramsIsThose) {
  const UniqueFd host = server();
  const int room = 4 << 20;
  ::setsockopt(host.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  for (const std::size_t step : {1U, 7U, 500U, 1000U, 1472U}) {
    SCOPED_TRACE(step);
    const std::size_t count = std::min<std::size_t>(100, 60000 / step);
    const std::size_t last = (step + 1) / 2;
    Octets frame = to(host, numbered_bytes(step * count + last)).frame();
    Offload owed;
    owed.needs_checksum = true;
    owed.segmentation = Offload::Segmentation::udp;
    owed.segment_size = static_cast<std::uint16_t>(step);
    Nat::Input input{frame, owed};
    world.nat->input({&input, 1});
    const auto seen = take_all(host);
    ASSERT_EQ(seen.size(), count + (step == 1 ? 1 : 1));
    Octets all;
    for (const Seen& one : seen) {
      EXPECT_LE(one.payload.size(), step);
      all.insert(all.end(), one.payload.begin(), one.payload.end());
    }
    EXPECT_TRUE(all == numbered_bytes(step * count + last));
  }
}

TEST_P(UdpRelayTest, ABurstToTheGuestKeepsItsDatagrams) {
  const UniqueFd host = server();
  send({to(host).frame()});
  const auto seen = take(host);
  ASSERT_TRUE(seen);
  std::vector<Octets> sent;
  // Equal ones with a shorter one between, an empty one, and some in fragments.
  for (const std::size_t size :
       {1200U, 1200U, 1200U, 1200U, 300U, 1200U, 1200U, 0U, 1200U, 5000U, 5000U, 9U}) {
    sent.push_back(numbered(size, static_cast<unsigned>(sent.size())));
    answer(host, sent.back(), seen->from);
  }
  const auto got = received(sent.size());
  ASSERT_EQ(got.size(), sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) EXPECT_TRUE(got[i].payload == sent[i]) << i;
  EXPECT_EQ(world.counter("datagrams_joined"), 5U);
}

TEST_P(UdpRelayTest, AClosedPortIsReportedToTheGuest) {
  std::uint16_t port = 0;
  {
    const UniqueFd closed = server();
    port = port_of(closed.get());
  }
  send({DatagramRecipe{router(), port}.frame()});
  ASSERT_TRUE(world.until([&] { return error_to(world.guest).has_value(); }));
  const auto error = error_to(world.guest);
  EXPECT_EQ(error->from, router());
  EXPECT_EQ(error->type, v6() ? 1 : 3);
  EXPECT_EQ(error->code, v6() ? 4 : 3);
  EXPECT_EQ(error->about, router());
  EXPECT_EQ(error->port, port);
  EXPECT_EQ(error->from_port, 40000);
  // The error is about that one alone.
  const UniqueFd open = server();
  send({DatagramRecipe{router(), port}.frame(), to(open).frame()});
  EXPECT_EQ(take_all(open).size(), 1U);
}

TEST_P(UdpRelayTest, TheLastHopIsTheRouterItself) {
  DatagramRecipe probe{addr(v6() ? "2001:db8::1" : "192.0.2.1"), 33434};
  probe.hop_limit = 1;
  send({probe.frame()});
  const auto error = error_to(world.guest);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->from, router());
  EXPECT_EQ(error->type, v6() ? 3 : 11);
  EXPECT_EQ(error->code, 0);
  EXPECT_EQ(error->port, 33434);
  // What is for the router has arrived.
  const UniqueFd host = server();
  DatagramRecipe last = to(host);
  last.hop_limit = 1;
  send({last.frame()});
  EXPECT_TRUE(take(host));
}

TEST_P(UdpRelayTest, NothingIsReadWhileTheSwitchHasNoRoom) {
  const UniqueFd host = server();
  send({to(host).frame()});
  const auto seen = take(host);
  ASSERT_TRUE(seen);
  world.guest.room = false;
  for (unsigned i = 0; i < 10; ++i) answer(host, numbered(100, i), seen->from);
  world.turns(20);
  EXPECT_TRUE(datagrams_to(world.guest).empty());
  world.guest.room = true;
  world.nat->resume();
  EXPECT_EQ(received(10).size(), 10U);
}

TEST_P(UdpRelayTest, FlowsAreListedWithTheirBytes) {
  const UniqueFd host = server();
  send({to(host, numbered_bytes(100)).frame()});
  const auto seen = take(host);
  ASSERT_TRUE(seen);
  answer(host, numbered_bytes(30), seen->from);
  received(1);
  const auto flows = world.nat->flows();
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].transport, "udp");
  EXPECT_EQ(flows[0].guest, v6() ? kGuest6 : kGuest4);
  EXPECT_EQ(flows[0].target, router());
  EXPECT_EQ(flows[0].bytes_out, 100U);
  EXPECT_EQ(flows[0].bytes_in, 30U);
  const std::string port = ":" + std::to_string(port_in(seen->from));
  EXPECT_TRUE(flows[0].host.ends_with(port)) << flows[0].host;
}

class UdpForward : public UdpRelayTest {
 protected:
  ForwardConfig forward(const char* host_address) {
    ForwardConfig config;
    config.name = "game";
    config.transport = Transport::udp;
    config.host_address = addr(host_address);
    const UniqueFd probe = server();
    config.host_port = port_of(probe.get());
    config.guest = v6() ? "fd00:2::15" : "10.0.2.15";
    config.guest_port = 27015;
    return config;
  }
  void client_sends(const UniqueFd& client, std::uint16_t port, const Octets& payload) {
    answer(client, payload, loopback(v6(), port));
  }
};
INSTANTIATE_TEST_SUITE_P(Families, UdpForward, ::testing::Bool(),
                         [](const auto& row) { return row.param ? "Ipv6" : "Ipv4"; });

TEST_P(UdpForward, LeadsToTheGuestAndBack) {
  const ForwardConfig config = forward(v6() ? "::1" : "127.0.0.1");
  ASSERT_TRUE(world.nat->add_forward(config).ok());
  world.directory.macs[v6() ? kGuest6 : kGuest4] = world.guest.mac;
  const UniqueFd client = server();
  client_sends(client, config.host_port, {1, 2});
  const auto got = received(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].from, router());
  EXPECT_EQ(got[0].from_port, port_of(client.get()));
  EXPECT_EQ(got[0].port, 27015);
  DatagramRecipe reply{router(), port_of(client.get()), {3, 4, 5}, 27015};
  send({reply.frame()});
  const auto seen = take(client);
  ASSERT_TRUE(seen);
  EXPECT_EQ(port_in(seen->from), config.host_port);
  EXPECT_EQ(world.nat->forwards().at(0).flows, 1U);
  EXPECT_EQ(world.nat->flows().at(0).forward, "game");
  // What the guest itself begins there cannot leave by a socket of one address.
  const UniqueFd other = server();
  send({DatagramRecipe{router(), port_of(other.get()), {6}, 27015}.frame()});
  const auto seen_by_other = take(other);
  ASSERT_TRUE(seen_by_other);
  EXPECT_NE(port_in(seen_by_other->from), config.host_port);
  ASSERT_TRUE(world.nat->remove_forward("game").ok());
  EXPECT_EQ(world.nat->flows().size(), 1U);
}

TEST_P(UdpForward, AtAllAddressesIsTheGuestsPortOutside) {
  const ForwardConfig config = forward(v6() ? "::" : "0.0.0.0");
  ASSERT_TRUE(world.nat->add_forward(config).ok());
  const UniqueFd master = server();
  send({DatagramRecipe{router(), port_of(master.get()), {6}, 27015}.frame()});
  const auto seen = take(master);
  ASSERT_TRUE(seen);
  EXPECT_EQ(port_in(seen->from), config.host_port);
  EXPECT_EQ(world.nat->forwards().at(0).flows, 0U) << "the guest has begun it";
}

TEST_P(UdpForward, AsksForASilentGuestAndLosesNothing) {
  const ForwardConfig config = forward(v6() ? "::1" : "127.0.0.1");
  ASSERT_TRUE(world.nat->add_forward(config).ok());
  const UniqueFd client = server();
  client_sends(client, config.host_port, {1, 2});
  client_sends(client, config.host_port, {3});
  world.turns(5);
  EXPECT_TRUE(datagrams_to(world.guest).empty());
  if (!v6()) {
    ASSERT_EQ(world.guest.arp_requests.size(), 1U);
    Octets reply(kIpOffset + 28);
    put_octets(reply, 6, world.guest.mac.bytes());
    put_octets(reply, 12, Octets{8, 6, 0, 1, 8, 0, 6, 4, 0, 2});
    put_octets(reply, 22, world.guest.mac.bytes());
    put_octets(reply, 28, Octets{10, 0, 2, 15});
    world.send(reply);
  } else {
    // It says something else, which is as good.
    const UniqueFd host = server();
    send({to(host).frame()});
  }
  EXPECT_EQ(received(2).size(), 2U);
}

TEST(UdpForwardAtAllAddresses, AnswersFromTheAddressThatTheClientUsed) {
  NatWorld world;
  ForwardConfig config;
  config.name = "dns";
  config.transport = Transport::udp;
  config.host_address = addr("0.0.0.0");
  const UniqueFd client = bound_socket(SOCK_DGRAM);
  config.host_port = port_of(bound_socket(SOCK_DGRAM).get());
  config.guest = "10.0.2.15";
  config.guest_port = 53;
  ASSERT_TRUE(world.nat->add_forward(config).ok());
  world.directory.macs[kGuest4] = world.guest.mac;
  SocketName to(addr("127.0.0.9"), config.host_port);
  ASSERT_EQ(::connect(client.get(), to.get(), to.size()), 0);
  ASSERT_EQ(::send(client.get(), "?", 1, 0), 1);
  ASSERT_TRUE(world.until([&] { return !datagrams_to(world.guest).empty(); }));
  world.send(DatagramRecipe{kRouter4, port_of(client.get()), {'!'}, 53}.frame());
  Octets got;
  read_into(client, got);
  EXPECT_EQ(got, Octets{'!'}) << "a connected socket takes it from 127.0.0.9 alone";
}

// Ways with a small MTU, and the hop limit of what leaves, in a namespace of our own.
TEST_P(UdpRelayTest, SaysWhatTheWayTakesAtMost) {
  if (const std::string why = enter_own_namespace(); !why.empty()) GTEST_SKIP() << why;
  const Peer peer("up0");
  must("ip address add 192.0.2.1/24 dev up0 && ip -6 address add 2001:db8::1/64 dev up0 nodad");
  must(peer.in("ip address add 192.0.2.2/24 dev eth0"));
  must(peer.in("ip -6 address add 2001:db8::2/64 dev eth0 nodad"));
  must("ip route change 192.0.2.0/24 dev up0 mtu 1300");
  must("ip -6 route add 2001:db8::2/128 dev up0 mtu 1300");
  const IpAddress target = addr(v6() ? "2001:db8::2" : "192.0.2.2");
  NatWorld inside;  // its sockets are of this namespace
  DatagramRecipe large{target, 9, numbered_bytes(1400)};
  large.unfragmented = true;
  inside.send(large.frame());
  ASSERT_TRUE(inside.until([&] { return error_to(inside.guest).has_value(); }, 5000));
  const auto error = error_to(inside.guest);
  EXPECT_EQ(error->from, router());
  EXPECT_EQ(error->type, v6() ? 2 : 3);
  EXPECT_EQ(error->code, v6() ? 0 : 4);
  EXPECT_EQ(error->info, 1300U);
  EXPECT_EQ(error->about, target);
  EXPECT_EQ(error->port, 9);
  inside.guest.others.clear();
  // In fragments it may leave: of IPv4 when the guest allows it, of both what came in fragments.
  DatagramRecipe cut{target, 9, numbered_bytes(v6() ? 3000 : 1400)};
  inside.send(cut.frame());
  ASSERT_TRUE(inside.until([&] { return error_to(inside.guest).has_value(); }, 5000));
  EXPECT_EQ(error_to(inside.guest)->from, target) << "there is nobody at the port: it arrived";
  EXPECT_EQ(error_to(inside.guest)->code, v6() ? 4 : 3);
}

}  // namespace
}  // namespace lanyard::testing
