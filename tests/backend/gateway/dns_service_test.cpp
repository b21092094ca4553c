// SPDX-License-Identifier: MIT
//
// The name server with real sockets: resolvers on loopback, TCP clients, a resolv.conf that
// changes.
#include "backend/gateway/dns_service.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>

#include "backend/gateway/dns_tcp.h"
#include "switch/base/fd.h"
#include "tests/support/dns_world.h"
#include "tests/support/fake_log.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::dns_ip;
using testing::dns_network;
using testing::dns_query;
using testing::dns_response;
using testing::dns_sentence;
using testing::DnsBytes;
using ::testing::ElementsAre;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// The port it is bound to; 0: that port is somebody's.
std::uint16_t try_bind_loopback(int fd, std::uint16_t port) {
  sockaddr_in address = loopback(port);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0) return 0;
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  return ntohs(address.sin_port);
}

std::uint16_t bind_loopback(int fd) {
  const std::uint16_t port = try_bind_loopback(fd, 0);
  EXPECT_NE(port, 0);
  return port;
}

// Answers everything by UDP and TCP at the same port with the same addresses.
class LoopbackResolver {
 public:
  LoopbackResolver(EventLoop& loop, std::vector<IpAddress> addresses)
      : loop_(loop),
        addresses_(std::move(addresses)),
        tcp_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    // A port that is free for UDP may be somebody's for TCP.
    for (int attempt = 0; attempt < 100; ++attempt) {
      udp_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      port_ = bind_loopback(udp_.get());
      if (try_bind_loopback(tcp_.get(), port_) != 0) break;
    }
    EXPECT_EQ(::listen(tcp_.get(), 8), 0);
    udp_watch_ = loop.watch(udp_.get(), EPOLLIN, [this](auto) { on_datagram(); }).take();
    tcp_watch_ = loop.watch(tcp_.get(), EPOLLIN, [this](auto) { on_connect(); }).take();
  }

  std::string text() const { return "127.0.0.1#" + std::to_string(port_); }
  int asked = 0;

 private:
  DnsBytes answer(std::span<const std::uint8_t> query) {
    ++asked;
    return dns_response(query, addresses_);
  }
  void on_datagram() {
    std::array<std::uint8_t, 65535> buffer{};
    sockaddr_in from{};
    socklen_t size = sizeof from;
    auto* const generic = reinterpret_cast<sockaddr*>(&from);
    const ssize_t got = ::recvfrom(udp_.get(), buffer.data(), buffer.size(), 0, generic, &size);
    if (got < 0) return;
    DnsBytes reply = answer(std::span(buffer).first(static_cast<std::size_t>(got)));
    if (reply.size() > 512) {
      reply.resize(512);
      reply[2] |= 2;
    }
    ::sendto(udp_.get(), reply.data(), reply.size(), 0, generic, size);
  }
  void on_connect() {
    connection_.reset(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    connection_watch_ =
        loop_.watch(connection_.get(), EPOLLIN, [this](auto) { on_query(); }).take();
  }
  void on_query() {
    std::array<std::uint8_t, 4096> buffer{};
    const ssize_t got = ::recv(connection_.get(), buffer.data(), buffer.size(), 0);
    if (got <= 2) {
      connection_watch_.reset();
      return connection_.reset();
    }
    DnsBytes reply = answer(std::span(buffer).subspan(2, static_cast<std::size_t>(got) - 2));
    const std::uint8_t length[2] = {static_cast<std::uint8_t>(reply.size() >> 8),
                                    static_cast<std::uint8_t>(reply.size())};
    reply.insert(reply.begin(), std::begin(length), std::end(length));
    EXPECT_EQ(::send(connection_.get(), reply.data(), reply.size(), 0),
              static_cast<ssize_t>(reply.size()));
  }

  EventLoop& loop_;
  std::vector<IpAddress> addresses_;
  std::uint16_t port_ = 0;
  UniqueFd udp_;
  UniqueFd tcp_;
  UniqueFd connection_;
  EventLoop::Watch udp_watch_;
  EventLoop::Watch tcp_watch_;
  EventLoop::Watch connection_watch_;
};

class DnsServiceTest : public ::testing::Test {
 protected:
  DnsServiceTest() : loop(EventLoop::create().take()) {}

  void start(const NetworkConfig& config) {
    service = std::make_unique<DnsService>(config, *loop, link, directory, log, [this] {
      now += 1us;  // so that one thing is later than another
      return now;
    });
  }
  NetworkConfig with_upstream(std::vector<std::string> upstream) {
    NetworkConfig config = dns_network();
    config.dns.upstream = std::move(upstream);
    return config;
  }
  void ask(std::uint16_t id, std::string_view name, std::optional<std::uint16_t> edns = {}) {
    const DnsBytes query = dns_query(id, name, DnsType::a, edns);
    GuestDatagram datagram;
    datagram.guest = MacAddress::from_number(0x525400000001);
    datagram.source = dns_ip("10.0.2.15");
    datagram.destination = dns_ip("10.0.2.3");
    datagram.source_port = 40000;
    datagram.destination_port = 53;
    datagram.payload = query;
    service->on_datagram(datagram);
  }
  // Until it is so, or for some seconds.
  bool wait_for(const std::function<bool()>& so) {
    const Time end = monotonic_now() + 20s;
    const EventLoop::Timer wakes = loop->every(50ms, [] {});
    bool is_so = so();
    for (; !is_so && monotonic_now() < end; is_so = so()) loop->run_once(false);
    return is_so;
  }
  std::string next_reply() {
    if (!wait_for([this] { return !link.datagrams.empty(); })) return "nothing";
    last = link.datagrams.front();
    link.datagrams.erase(link.datagrams.begin());
    return dns_sentence(last.payload);
  }
  UniqueFd connect_tcp() {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_in address = loopback(service->tcp_port());
    ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    return fd;
  }
  static DnsBytes framed(const DnsBytes& message) {
    DnsBytes bytes{static_cast<std::uint8_t>(message.size() >> 8),
                   static_cast<std::uint8_t>(message.size())};
    bytes.insert(bytes.end(), message.begin(), message.end());
    return bytes;
  }
  void send_tcp(const UniqueFd& fd, const DnsBytes& bytes) {
    EXPECT_TRUE(wait_for([&] {
      return ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(bytes.size());
    }));
  }
  // One message; empty when the connection ends.
  DnsBytes receive_tcp(const UniqueFd& fd) {
    DnsBytes bytes;
    bool ended = false;
    const auto whole = [&] {
      return bytes.size() >= 2 && bytes.size() >= 2U + (unsigned{bytes[0]} << 8U | bytes[1]);
    };
    wait_for([&] {
      while (!whole() && !ended) {
        std::uint8_t byte = 0;
        const ssize_t got = ::recv(fd.get(), &byte, 1, 0);
        if (got < 0 && errno == EAGAIN) return false;
        ended = got <= 0;
        if (got == 1) bytes.push_back(byte);
      }
      return true;
    });
    return whole() ? DnsBytes(bytes.begin() + 2, bytes.end()) : DnsBytes{};
  }

  std::unique_ptr<EventLoop> loop;
  Time now{1s};  // stands still: no query is late because others have the processor
  testing::FakeGuestDirectory directory;
  testing::RecordingGuestLink link;
  testing::FakeLog log;
  testing::RecordingGuestLink::Datagram last;
  std::unique_ptr<DnsService> service;
};

TEST_F(DnsServiceTest, AnswersFromTheAddressThatWasAsked) {
  LoopbackResolver resolver(*loop, {dns_ip("203.0.113.5")});
  start(with_upstream({resolver.text()}));
  ask(0x1234, "www.example.org");
  EXPECT_EQ(next_reply(), "NOERROR 203.0.113.5");
  EXPECT_EQ(last.header.source, dns_ip("10.0.2.3"));
  EXPECT_EQ(last.header.source_port, 53);
  EXPECT_EQ(last.header.destination, dns_ip("10.0.2.15"));
  EXPECT_EQ(last.header.destination_port, 40000);
  EXPECT_EQ(last.header.guest.number(), 0x525400000001U);
  ask(2, "web.lan");
  EXPECT_EQ(next_reply(), "NOERROR 10.0.2.50");
  EXPECT_EQ(resolver.asked, 1);
}

TEST_F(DnsServiceTest, AClosedPortIsKnownAtOnceAndTheNextResolverAsked) {
  LoopbackResolver resolver(*loop, {dns_ip("203.0.113.5")});
  UniqueFd unused(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::uint16_t port = bind_loopback(unused.get());
  unused.reset();
  start(with_upstream({"127.0.0.1#" + std::to_string(port), resolver.text()}));
  ask(1, "www.example.org");
  EXPECT_EQ(next_reply(), "NOERROR 203.0.113.5");
  EXPECT_FALSE(service->status().resolvers[0].answers);
  EXPECT_EQ(service->status().resolvers[0].problem, "Connection refused");
  EXPECT_EQ(service->status().counters.failed, 0U);
}

TEST_F(DnsServiceTest, ASilentResolverIsPassedOver) {
  LoopbackResolver resolver(*loop, {dns_ip("203.0.113.5")});
  UniqueFd silent(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::uint16_t port = bind_loopback(silent.get());
  start(with_upstream({"127.0.0.1#" + std::to_string(port), resolver.text()}));
  ask(1, "www.example.org");
  EXPECT_EQ(resolver.asked, 0) << "the first has its second";
  now += 1s;
  EXPECT_EQ(next_reply(), "NOERROR 203.0.113.5");
  EXPECT_EQ(service->status().resolvers[0].timeouts, 1U);
}

TEST_F(DnsServiceTest, LargeAnswersComeByTcp) {
  LoopbackResolver resolver(*loop, std::vector<IpAddress>(1000, dns_ip("203.0.113.5")));
  start(with_upstream({resolver.text()}));
  ask(1, "www.example.org", 4096);
  EXPECT_THAT(next_reply(), ::testing::StartsWith("not a message")) << "cut where it was cut";
  EXPECT_NE(last.payload[2] & 2, 0) << "TC";

  const UniqueFd client = connect_tcp();
  send_tcp(client, framed(dns_query(7, "www.example.org")));
  const DnsBytes reply = receive_tcp(client);
  EXPECT_GT(reply.size(), 16000U);
  EXPECT_EQ(parse_dns_message(reply)->answers.size(), 1000U);
  EXPECT_EQ(parse_dns_message(reply)->header.id, 7);
}

TEST_F(DnsServiceTest, ManyQueriesShareAConnection) {
  LoopbackResolver resolver(*loop, {dns_ip("203.0.113.5")});
  start(with_upstream({resolver.text()}));
  const UniqueFd client = connect_tcp();
  DnsBytes all;
  for (std::uint16_t id = 0; id < 100; ++id) {
    const DnsBytes one = framed(dns_query(id, "web.lan"));
    all.insert(all.end(), one.begin(), one.end());
  }
  send_tcp(client, all);
  for (std::uint16_t id = 0; id < 100; ++id) {
    const DnsBytes reply = receive_tcp(client);
    ASSERT_EQ(dns_sentence(reply), "NOERROR 10.0.2.50");
    EXPECT_EQ(parse_dns_head(reply)->header.id, id);
  }
  // In pieces, and with the client's end closed while the answer is on its way.
  const DnsBytes query = framed(dns_query(200, "www.example.org"));
  send_tcp(client, {query.begin(), query.begin() + 1});
  send_tcp(client, {query.begin() + 1, query.begin() + 9});
  send_tcp(client, {query.begin() + 9, query.end()});
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(dns_sentence(receive_tcp(client)), "NOERROR 203.0.113.5");
  EXPECT_EQ(receive_tcp(client), DnsBytes{}) << "and then it ends";
}

TEST_F(DnsServiceTest, WhatIsNoQueryEndsTheConnection) {
  start(with_upstream({"192.0.2.1"}));
  for (const DnsBytes& bytes :
       {DnsBytes{0, 0}, framed(DnsBytes(11, 0)), framed(DnsBytes(20, 0xff))}) {
    const UniqueFd client = connect_tcp();
    send_tcp(client, bytes);
    EXPECT_EQ(receive_tcp(client), DnsBytes{});
  }
}

TEST_F(DnsServiceTest, IdleConnectionsMakeRoom) {
  start(with_upstream({"192.0.2.1"}));
  std::vector<UniqueFd> clients;
  for (std::size_t i = 0; i < DnsTcpServer::kConnectionsMax + 20; ++i) {
    clients.push_back(connect_tcp());
    loop->run_once(true);
  }
  send_tcp(clients.back(), framed(dns_query(1, "web.lan")));
  EXPECT_EQ(dns_sentence(receive_tcp(clients.back())), "NOERROR 10.0.2.50");
  EXPECT_EQ(receive_tcp(clients.front()), DnsBytes{}) << "the one that was idle longest";
}

TEST_F(DnsServiceTest, FollowsResolvConf) {
  LoopbackResolver resolver(*loop, {dns_ip("203.0.113.5")});
  const testing::TemporaryDirectory files;
  NetworkConfig config = dns_network();
  config.dns.resolv_conf = files / "resolv.conf";
  start(config);
  EXPECT_THAT(service->status().problem, ::testing::HasSubstr("No such file"));
  EXPECT_TRUE(log.contains("names outside of this network cannot be resolved"));
  ask(1, "www.example.org");
  EXPECT_EQ(next_reply(), "SERVFAIL");

  files.file("resolv.conf", "nameserver 127.0.0.53\nnameserver ::1\n");
  EXPECT_EQ(service->status().problem, "");
  EXPECT_EQ(service->status().resolvers.size(), 2U);
  EXPECT_TRUE(log.contains("resolvers: 127.0.0.53, ::1"));

  config.dns.upstream = {resolver.text()};
  ASSERT_TRUE(service->reconfigure(config).ok());
  EXPECT_EQ(service->status().source, "configuration");
  ask(2, "www.example.org");
  EXPECT_EQ(next_reply(), "NOERROR 203.0.113.5");

  config.dns.upstream = {"nonsense"};
  EXPECT_FALSE(service->reconfigure(config).ok());
  EXPECT_EQ(service->status().resolvers.size(), 1U) << "nothing changed";
}

TEST_F(DnsServiceTest, NeverAsksItself) {
  const testing::TemporaryDirectory files;
  NetworkConfig config = dns_network();
  config.kind = NetworkKind::host_only;
  config.dns.resolv_conf = files.file("resolv.conf", "nameserver 10.0.2.3\n");
  start(config);
  ask(1, "www.example.org");
  EXPECT_EQ(next_reply(), "SERVFAIL");
  EXPECT_THAT(service->status().problem, ::testing::HasSubstr("own name server"));
  // On a nat network that address is some other machine's on the host's side.
  config.kind = NetworkKind::nat;
  ASSERT_TRUE(service->reconfigure(config).ok());
  EXPECT_EQ(service->status().resolvers.size(), 1U);
}

TEST_F(DnsServiceTest, ShowsItselfAsJson) {
  start(with_upstream({"192.0.2.1"}));
  ask(1, "web.lan");
  const Json json = to_json(service->status());
  EXPECT_EQ(json["resolvers"][0]["address"], "192.0.2.1");
  EXPECT_EQ(json["counters"]["local"], 1);
  EXPECT_EQ(json["tcp_port"], service->tcp_port());
}

}  // namespace
}  // namespace lanyard
