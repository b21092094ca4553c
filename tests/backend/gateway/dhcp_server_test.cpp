// SPDX-License-Identifier: MIT
#include "backend/gateway/dhcp_server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/support/dhcp_world.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::DhcpWorld;
using testing::ip;
using testing::mac_number;
using testing::nat_network;
using testing::Say;
using enum DhcpType;

std::string text_option(const DhcpMessage& message, std::uint8_t code) {
  return std::string(message.text(code));
}

NetworkConfig small_pool(unsigned count) {
  NetworkConfig config = nat_network();
  config.dhcp.ranges = {
      {ip("10.0.2.15"), Ipv4Address::from_number(ip("10.0.2.15").number() + count - 1)}};
  return config;
}

HostConfig host(std::string name, std::uint64_t mac, const char* address = nullptr) {
  HostConfig config;
  config.name = std::move(name);
  config.mac = mac_number(mac);
  if (address != nullptr) config.address = ip(address);
  return config;
}

TEST(DhcpServer, GivesTheFirstAddressAndSaysWhatBelongsToIt) {
  DhcpWorld world;
  Say say{.mac = mac_number(1), .host_name = "Alpha"};
  const auto offer = world.ask(say);
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->message.type, DhcpType::offer);
  EXPECT_EQ(offer->message.yiaddr, ip("10.0.2.15"));
  EXPECT_EQ(offer->to, mac_number(1));
  EXPECT_EQ(offer->destination, ip("10.0.2.15"));
  EXPECT_EQ(world.lease(say), ip("10.0.2.15"));

  const auto ack = world.ask({.type = request, .mac = mac_number(1), .ciaddr = ip("10.0.2.15")});
  ASSERT_TRUE(ack);
  const DhcpMessage& m = ack->message;
  EXPECT_EQ(m.address(dhcp_option::server_identifier), ip("10.0.2.2"));
  EXPECT_EQ(m.address(dhcp_option::subnet_mask), ip("255.255.255.0"));
  EXPECT_EQ(m.address(dhcp_option::router), ip("10.0.2.2"));
  EXPECT_EQ(m.address(dhcp_option::dns), ip("10.0.2.3"));
  EXPECT_EQ(m.address(dhcp_option::broadcast), ip("10.0.2.255"));
  EXPECT_EQ(m.number(dhcp_option::lease_time), 86400U);
  EXPECT_EQ(m.number(dhcp_option::renewal_time), 43200U);
  EXPECT_EQ(m.number(dhcp_option::rebinding_time), 75600U);
  EXPECT_EQ(m.number(dhcp_option::mtu), 1500U);
  EXPECT_EQ(text_option(m, dhcp_option::domain_name), "lab");
  EXPECT_EQ(text_option(m, dhcp_option::host_name), "alpha");
  EXPECT_EQ(world.server->address_of("ALPHA"), ip("10.0.2.15"));
  EXPECT_EQ(world.server->name_of(ip("10.0.2.15")), "alpha");
  EXPECT_EQ(world.server->mac_of(ip("10.0.2.15")), mac_number(1));
  EXPECT_EQ(world.server->address_of(mac_number(1)), ip("10.0.2.15"));
}

TEST(DhcpServer, SendsOnlyWhatTheClientAsksFor) {
  DhcpWorld world;
  const auto offer = world.ask({.mac = mac_number(1), .wants = {3, 15, 3, 53, 200}});
  ASSERT_TRUE(offer);
  std::set<int> codes;
  for (const auto& [code, value] : offer->message.options) codes.insert(code);
  EXPECT_EQ(codes, (std::set<int>{1, 3, 15, 51, 54, 58, 59}));
}

TEST(DhcpServer, HostOnlyNetworksHaveNeitherRouterNorDns) {
  NetworkConfig config;
  config.name = "host-only";
  config.kind = NetworkKind::host_only;
  config.subnet = Ipv4Prefix{ip("192.168.56.0"), 24};
  config.dhcp_address = ip("192.168.56.100");
  config.dhcp.enabled = true;
  config.dhcp.ranges = {{ip("192.168.56.101"), ip("192.168.56.254")}};
  DhcpWorld world(config);
  const auto offer = world.ask({.mac = mac_number(1)});
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->message.yiaddr, ip("192.168.56.101"));
  EXPECT_EQ(offer->message.address(dhcp_option::server_identifier), ip("192.168.56.100"));
  EXPECT_EQ(offer->message.option(dhcp_option::router), nullptr);
  EXPECT_EQ(offer->message.option(dhcp_option::dns), nullptr);
}

TEST(DhcpServer, WhereAnAnswerGoes) {
  DhcpWorld world;
  ASSERT_TRUE(world.lease(1));
  struct Row {
    const char* what;
    Say say;
    const char* destination;
    MacAddress to;
    std::uint16_t port;
  };
  const Ipv4Address mine = ip("10.0.2.15");
  const MacAddress all = MacAddress::from_number(0xffffffffffff);
  const std::vector<Row> rows{
      {"unicast", {.mac = mac_number(1)}, "10.0.2.15", mac_number(1), 68},
      {"broadcast flag", {.mac = mac_number(1), .flags = 0x8000}, "255.255.255.255", all, 68},
      {"renewal",
       {.type = request, .mac = mac_number(1), .ciaddr = mine, .flags = 0x8000},
       "10.0.2.15",
       mac_number(1),
       68},
      {"refusal",
       {.type = request, .mac = mac_number(1), .requested = ip("10.9.9.9")},
       "255.255.255.255",
       all,
       68},
      {"relayed",
       {.mac = mac_number(1), .giaddr = ip("10.0.2.200")},
       "10.0.2.200",
       mac_number(1),
       67},
  };
  for (const Row& row : rows) {
    const auto answer = world.ask(row.say);
    ASSERT_TRUE(answer) << row.what;
    EXPECT_EQ(answer->destination, ip(row.destination)) << row.what;
    EXPECT_EQ(answer->to, row.to) << row.what;
    EXPECT_EQ(answer->port, row.port) << row.what;
    EXPECT_EQ(answer->message.xid, 0x1234U) << row.what;
  }
  EXPECT_FALSE(world.ask({.mac = mac_number(2), .giaddr = ip("10.9.9.9")}));
  EXPECT_TRUE(world.log.contains("relayed by 10.9.9.9"));
}

TEST(DhcpServer, AnswersRequestsAsTheRecordSays) {
  struct Row {
    const char* what;
    Say say;
    std::optional<DhcpType> answer;
    const char* reason;  // part of option 56
  };
  const auto a = mac_number(1);
  const auto c = mac_number(3);
  const Ipv4Address mine = ip("10.0.2.15");
  const Ipv4Address us = ip("10.0.2.2");
  const std::vector<Row> rows{
      {"renews", {.type = request, .mac = a, .ciaddr = mine}, ack, ""},
      {"reboots", {.type = request, .mac = a, .requested = mine}, ack, ""},
      {"selects again", {.type = request, .mac = a, .requested = mine, .server = us}, ack, ""},
      {"selects another server",
       {.type = request, .mac = a, .requested = mine, .server = ip("10.0.2.9")},
       {},
       ""},
      {"names no address", {.type = request, .mac = a}, {}, ""},
      {"reboots with another's",
       {.type = request, .mac = c, .requested = mine},
       nak,
       "another client's"},
      {"renews another's", {.type = request, .mac = c, .ciaddr = mine}, nak, "another client's"},
      {"selects another's",
       {.type = request, .mac = c, .requested = mine, .server = us},
       nak,
       "another client's"},
      {"comes from another network",
       {.type = request, .mac = c, .requested = ip("192.168.1.7")},
       nak,
       "not in this network, 10.0.2.0/24"},
      {"wants the router's", {.type = request, .mac = c, .requested = us}, nak, "not handed out"},
      {"wants one below the range",
       {.type = request, .mac = c, .requested = ip("10.0.2.5")},
       nak,
       "not handed out"},
      {"has one and wants another",
       {.type = request, .mac = a, .requested = ip("10.0.2.77")},
       nak,
       "your address is 10.0.2.15"},
      {"renews one whose record is lost",
       {.type = request, .mac = c, .ciaddr = ip("10.0.2.99")},
       ack,
       ""},
      {"reboots, record lost", {.type = request, .mac = c, .requested = ip("10.0.2.99")}, ack, ""},
  };
  for (const Row& row : rows) {
    DhcpWorld world;
    ASSERT_EQ(world.lease(1), mine);
    ASSERT_EQ(world.lease(2), ip("10.0.2.16"));
    const auto answer = world.ask(row.say);
    ASSERT_EQ(answer.has_value(), row.answer.has_value()) << row.what;
    if (!answer) continue;
    EXPECT_EQ(answer->message.type, *row.answer) << row.what;
    EXPECT_NE(text_option(answer->message, 56).find(row.reason), std::string::npos)
        << row.what << ": " << text_option(answer->message, 56);
  }
}

TEST(DhcpServer, ReservationsHaveNamesTimesOptionsAndBootFilesOfTheirOwn) {
  NetworkConfig config = nat_network();
  config.dhcp.options = {{224, {1}}, {225, {2}}};
  config.dhcp.boot_file = "pxelinux.0";
  config.dhcp.tftp_root = "/nowhere";
  HostConfig web = host("web", 7, "10.0.2.200");
  web.lease_time_s = 600;
  web.boot_file = "web.ipxe";
  web.next_server = "10.0.2.9";
  web.options = {{224, {9}}, {15, {}}};
  config.hosts = {web};
  DhcpWorld world(config);
  EXPECT_EQ(world.server->address_of("web"), ip("10.0.2.200"));
  EXPECT_EQ(world.state(ip("10.0.2.200")), LeaseState::reserved);

  const auto offer = world.ask({.mac = mac_number(7), .host_name = "liar"});
  ASSERT_TRUE(offer);
  const DhcpMessage& m = offer->message;
  EXPECT_EQ(m.yiaddr, ip("10.0.2.200"));
  EXPECT_EQ(text_option(m, dhcp_option::host_name), "web");
  EXPECT_EQ(m.number(dhcp_option::lease_time), 600U);
  EXPECT_EQ(m.file, "web.ipxe");
  EXPECT_EQ(m.siaddr, ip("10.0.2.9"));
  EXPECT_EQ(m.number(224), 9U);
  EXPECT_EQ(m.number(225), 2U);
  EXPECT_EQ(m.option(dhcp_option::domain_name), nullptr) << "an empty option is a wish for silence";

  const auto other =
      world.ask({.type = request, .mac = mac_number(8), .requested = ip("10.0.2.200")});
  ASSERT_TRUE(other);
  EXPECT_EQ(other->message.type, nak);
  const auto plain = world.ask({.mac = mac_number(8)});
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->message.file, "pxelinux.0");
  EXPECT_EQ(plain->message.siaddr, ip("10.0.2.2"));
}

TEST(DhcpServer, BootRomsGetTheirFileThoughTheyDoNotAsk) {
  NetworkConfig config = nat_network();
  config.dhcp.boot_file = "pxelinux.0";
  config.dhcp.tftp_root = "/nowhere";
  DhcpWorld world(config);
  Say say{.mac = mac_number(1), .wants = {1, 3}};
  say.more = {{dhcp_option::vendor_class, dhcp_value("PXEClient:Arch:00000:UNDI:002001")}};
  const auto offer = world.ask(say);
  ASSERT_TRUE(offer);
  EXPECT_EQ(text_option(offer->message, 66), "10.0.2.2");
  EXPECT_EQ(text_option(offer->message, 67), "pxelinux.0");
  EXPECT_EQ(offer->message.file, "pxelinux.0");
}

TEST(DhcpServer, ProbesOnlyWhatTheClientDidNotHold) {
  DhcpWorld world;
  ASSERT_TRUE(world.lease(1));
  EXPECT_EQ(world.link.probes.size(), 2U) << "one probe, repeated";
  world.pass(48h);
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::expired);
  world.answers();
  world.send({.mac = mac_number(1)});
  EXPECT_EQ(world.answers().size(), 1U) << "at once";
  EXPECT_EQ(world.link.probes.size(), 2U);
}

TEST(DhcpServer, AnAddressThatAnswersIsQuarantinedAndTheNextOneOffered) {
  DhcpWorld world;
  world.send({.mac = mac_number(1)});
  world.pass(20ms);
  world.server->on_arp(ip("10.0.2.15"), mac_number(99), world.now);
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::declined);
  world.pass(DhcpServer::kProbeTime);
  const auto offer = world.answer();
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->message.yiaddr, ip("10.0.2.16"));
  world.pass(DhcpServer::kQuarantineTime);
  EXPECT_EQ(world.lease(2), ip("10.0.2.15")) << "after a while it is tried again";
}

TEST(DhcpServer, AClientThatAnswersForItselfIsNoConflict) {
  DhcpWorld world;
  world.send({.mac = mac_number(1)});
  world.server->on_arp(ip("10.0.2.15"), mac_number(1), world.now);
  const auto offer = world.answer();
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->message.yiaddr, ip("10.0.2.15"));
}

TEST(DhcpServer, ARebootIntoAnAddressThatSomebodyElseUsesIsRefused) {
  DhcpWorld world;
  world.send({.type = request, .mac = mac_number(1), .requested = ip("10.0.2.50")});
  world.server->on_arp(ip("10.0.2.50"), mac_number(9), world.now);
  const auto answer = world.answer();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->message.type, nak);
}

TEST(DhcpServer, DeclineReleaseAndInform) {
  DhcpWorld world;
  ASSERT_EQ(world.lease(1), ip("10.0.2.15"));
  const Ipv4Address us = ip("10.0.2.2");
  // Only the client itself can decline or release.
  world.send({.type = decline, .mac = mac_number(2), .requested = ip("10.0.2.15"), .server = us});
  world.send({.type = release, .mac = mac_number(2), .server = us, .ciaddr = ip("10.0.2.15")});
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::bound);
  world.send({.type = decline, .mac = mac_number(1), .requested = ip("10.0.2.15"), .server = us});
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::declined);
  EXPECT_EQ(world.events.back().kind, "lease.ended");
  EXPECT_EQ(world.lease(1), ip("10.0.2.16"));
  world.send({.type = release, .mac = mac_number(1), .server = us, .ciaddr = ip("10.0.2.16")});
  EXPECT_EQ(world.state(ip("10.0.2.16")), LeaseState::expired);
  EXPECT_EQ(world.events.back().reason, "released");
  EXPECT_EQ(world.lease(2), ip("10.0.2.17")) << "a fresh one before somebody's last one";
  EXPECT_EQ(world.lease(1), ip("10.0.2.16"));

  const auto told = world.ask({.type = inform, .mac = mac_number(5), .ciaddr = ip("10.0.2.7")});
  ASSERT_TRUE(told);
  EXPECT_EQ(told->message.type, ack);
  EXPECT_TRUE(told->message.yiaddr.is_unspecified());
  EXPECT_EQ(told->destination, ip("10.0.2.7"));
  EXPECT_FALSE(told->message.number(dhcp_option::lease_time));
  EXPECT_EQ(told->message.address(dhcp_option::router), us);
  EXPECT_FALSE(world.state(ip("10.0.2.7"))) << "no lease comes of it";
}

TEST(DhcpServer, ADeclinedAddressIsKeptAwayAcrossARestart) {
  DhcpWorld world;
  ASSERT_EQ(world.lease(1), ip("10.0.2.15"));
  world.send({.type = decline,
              .mac = mac_number(1),
              .requested = ip("10.0.2.15"),
              .server = ip("10.0.2.2")});
  world.pass(1min);
  world.start();
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::declined);
  EXPECT_EQ(world.lease(1), ip("10.0.2.16"));
  world.pass(DhcpServer::kQuarantineTime);
  EXPECT_EQ(world.lease(2), ip("10.0.2.15")) << "after a while it is tried again";
  EXPECT_EQ(world.store.leases.size(), 2U);
}

TEST(DhcpServer, AFullPoolReusesTheOldestExpiredLeaseAndThenIsSilent) {
  DhcpWorld world(small_pool(3));
  ASSERT_EQ(world.lease(1), ip("10.0.2.15"));
  world.pass(1h);
  ASSERT_EQ(world.lease(2), ip("10.0.2.16"));
  ASSERT_EQ(world.lease(3), ip("10.0.2.17"));
  EXPECT_FALSE(world.lease(4));
  EXPECT_FALSE(world.lease(5));
  EXPECT_TRUE(world.log.contains("no address is left"));
  EXPECT_EQ(std::count_if(world.events.begin(), world.events.end(),
                          [](const LeaseEvent& e) { return e.kind == "lease.refused"; }),
            1);
  world.pass(23h + 30min);  // the first has expired, the others have not
  EXPECT_EQ(world.lease(4), ip("10.0.2.15"));
  EXPECT_FALSE(world.lease(1));
}

TEST(DhcpServer, NamesAreValidUniqueAndNobodyElses) {
  NetworkConfig config = nat_network();
  config.hosts = {host("Boss", 100)};
  config.dns.records = {{"intranet", IpAddress(ip("10.0.2.9"))}};
  DhcpWorld world(config);
  struct Row {
    std::uint64_t client;
    const char* says;
    const char* is_called;
  };
  const std::vector<Row> rows{
      {1, "ubuntu", "ubuntu"},
      {2, "Ubuntu", "ubuntu-2"},
      {3, "ubuntu.example.org", "ubuntu-3"},
      {2, "ubuntu", "ubuntu-2"},
      {4, "boss", "boss-2"},
      {5, "intranet", "intranet-2"},
      {6, "bad name", ""},
      {7, "-x", ""},
      {8, "123", ""},
      {9, "wpad", ""},
      {100, "whatever", "boss"},
      {10, "a\x1b[2J", ""},
  };
  for (const Row& row : rows) {
    Say say{.mac = mac_number(row.client), .host_name = row.says};
    const auto address = world.lease(say);
    ASSERT_TRUE(address) << row.says;
    EXPECT_EQ(world.server->name_of(*address).value_or(""), row.is_called) << row.says;
  }
}

TEST(DhcpServer, FullNamesAreAnsweredInTheClientsEncoding) {
  DhcpWorld world;
  Say say{.mac = mac_number(1), .wants = {1}};
  std::vector<std::uint8_t> fqdn{4, 0, 0};
  for (const std::uint8_t byte : dns_wire_name("box.example.org")) fqdn.push_back(byte);
  say.more = {{dhcp_option::client_fqdn, fqdn}};
  const auto offer = world.ask(say);
  ASSERT_TRUE(offer);
  std::vector<std::uint8_t> expected{7, 255, 255};
  for (const std::uint8_t byte : dns_wire_name("box.lab")) expected.push_back(byte);
  ASSERT_NE(offer->message.option(81), nullptr);
  EXPECT_EQ(*offer->message.option(81), expected);
}

TEST(DhcpServer, KnowsAClientByItsIdentifierAndFirmwareByItsMac) {
  DhcpWorld world;
  EXPECT_EQ(world.lease(1), ip("10.0.2.15")) << "the boot ROM, without identifier";
  const std::string duid = std::string("\xff\1\2\3\4", 5) + "duid";
  Say system{.mac = mac_number(1), .client_id = duid};
  EXPECT_EQ(world.lease(system), ip("10.0.2.15")) << "then the system of the same machine";
  Say other_card{.mac = mac_number(2), .client_id = duid};
  EXPECT_EQ(world.lease(other_card), ip("10.0.2.15")) << "RFC 4361: the same client, a new card";
  Say other_id{.mac = mac_number(2), .client_id = "another"};
  EXPECT_EQ(world.lease(other_id), ip("10.0.2.16")) << "another identifier is another client";
}

TEST(DhcpServer, AClonedMachineThatRunsBesideTheFirstGetsItsOwnAddress) {
  DhcpWorld world;
  Say first{.mac = mac_number(1), .client_id = "machine-id"};
  ASSERT_EQ(world.lease(first), ip("10.0.2.15"));
  Say second{.mac = mac_number(2), .client_id = "machine-id"};
  world.answers();
  world.send(second);
  world.server->on_arp(ip("10.0.2.15"), mac_number(1), world.now);
  world.pass(DhcpServer::kProbeTime);
  const auto offer = world.answer();
  ASSERT_TRUE(offer);
  EXPECT_EQ(offer->message.yiaddr, ip("10.0.2.16"));
  second.requested = ip("10.0.2.16");
  second.server = ip("10.0.2.2");
  second.type = request;
  ASSERT_TRUE(world.ask(second));
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::bound);
  EXPECT_EQ(world.server->mac_of(ip("10.0.2.15")), mac_number(1));
  EXPECT_EQ(world.server->mac_of(ip("10.0.2.16")), mac_number(2));
}

TEST(DhcpServer, AThousandClientsAtOnceAreServedWithinOneProbe) {
  NetworkConfig config = nat_network();
  config.subnet = Ipv4Prefix{ip("10.0.0.0"), 16};
  config.dhcp.ranges = {{ip("10.0.8.0"), ip("10.0.15.255")}};
  DhcpWorld world(config);
  for (std::uint64_t n = 0; n < 2000; ++n) world.send({.mac = mac_number(n)});
  world.pass(DhcpServer::kProbeTime);
  const auto offers = world.answers();
  ASSERT_EQ(offers.size(), 2000U);
  for (const auto& offer : offers) {
    world.send({.type = request,
                .mac = offer.message.chaddr,
                .requested = offer.message.yiaddr,
                .server = ip("10.0.2.2")});
  }
  std::set<Ipv4Address> given;
  for (const auto& answer : world.answers()) {
    EXPECT_EQ(answer.message.type, ack);
    given.insert(answer.message.yiaddr);
  }
  EXPECT_EQ(given.size(), 2000U);
  EXPECT_EQ(world.server->bound_count(), 2000U);
}

TEST(DhcpServer, OffersThatNobodyTakesAreForgottenAndBounded) {
  NetworkConfig config = nat_network();
  config.subnet = Ipv4Prefix{ip("10.0.0.0"), 16};
  config.dhcp.ranges = {{ip("10.0.8.0"), ip("10.0.255.250")}};
  DhcpWorld world(config);
  for (std::uint64_t n = 0; n < 10'000; ++n) world.send({.mac = mac_number(n)});
  EXPECT_EQ(world.server->leases(world.now).size(), DhcpServer::kOffersMax);
  world.pass(DhcpServer::kOfferTime + DhcpServer::kProbeTime);
  EXPECT_TRUE(world.server->leases(world.now).empty());
  EXPECT_FALSE(world.server->next_deadline());
  EXPECT_TRUE(world.store.leases.empty());
  EXPECT_LT(world.log.lines.size(), 30U);
  EXPECT_TRUE(world.lease(20'000));
}

TEST(DhcpServer, LeasesOutliveTheServerAndClockJumps) {
  struct Row {
    const char* what;
    std::int64_t jump_s;
    LeaseState after;
  };
  for (const Row& row :
       {Row{"on time", 0, LeaseState::bound}, Row{"an hour off", 3600, LeaseState::bound},
        Row{"set back by years", -1'000'000'000, LeaseState::bound},
        Row{"set forward by years", 1'000'000'000, LeaseState::expired}}) {
    DhcpWorld world;
    ASSERT_EQ(world.lease(1), ip("10.0.2.15"));
    world.wall_s += row.jump_s;
    world.start();
    EXPECT_EQ(world.state(ip("10.0.2.15")), row.after) << row.what;
    EXPECT_EQ(world.lease(2), ip("10.0.2.16")) << row.what;
    EXPECT_EQ(world.lease(1), ip("10.0.2.15")) << row.what;
    world.pass(25h);
    EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::expired) << row.what;
  }
}

TEST(DhcpServer, AClockThatJumpsWhileRunningChangesNoLease) {
  DhcpWorld world;
  ASSERT_TRUE(world.lease(1));
  world.wall_s += 1'000'000'000;
  world.pass(2min);
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::bound);
  EXPECT_EQ(world.store.replaced, 1U);
  const std::int64_t left = world.store.leases.at(ip("10.0.2.15")).expires_s - world.wall_s;
  EXPECT_NEAR(static_cast<double>(left), 86400, 200);
  world.pass(25h);
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::expired);
}

TEST(DhcpServer, RenewalsInARowAreNotWrittenEachTime) {
  DhcpWorld world;
  ASSERT_TRUE(world.lease(1));
  const std::size_t before = world.store.writes;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(world.ask({.type = request, .mac = mac_number(1), .ciaddr = ip("10.0.2.15")}));
    world.pass(10ms);
  }
  EXPECT_EQ(world.store.writes, before);
}

TEST(DhcpServer, AChangedConfigurationKeepsWhatItHasRoomFor) {
  DhcpWorld world;
  ASSERT_EQ(world.lease(1), ip("10.0.2.15"));
  ASSERT_EQ(world.lease(2), ip("10.0.2.16"));
  NetworkConfig changed = world.config;
  changed.hosts = {host("web", 7, "10.0.2.15")};
  ASSERT_TRUE(world.server->reconfigure(changed, world.now));
  EXPECT_EQ(world.state(ip("10.0.2.15")), LeaseState::bound) << "until its client asks again";
  EXPECT_EQ(world.lease(7), ip("10.0.2.17")) << "meanwhile";
  const auto refused =
      world.ask({.type = request, .mac = mac_number(1), .ciaddr = ip("10.0.2.15")});
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->message.type, nak);
  EXPECT_EQ(world.lease(1), ip("10.0.2.18"));
  EXPECT_EQ(world.lease(7), ip("10.0.2.15")) << "free now";

  changed.subnet = Ipv4Prefix{ip("10.7.0.0"), 24};
  changed.router = ip("10.7.0.2");
  changed.dhcp.ranges = {{ip("10.7.0.15"), ip("10.7.0.20")}};
  changed.hosts.clear();
  ASSERT_TRUE(world.server->reconfigure(changed, world.now));
  EXPECT_EQ(world.server->bound_count(), 0U);
  EXPECT_EQ(world.lease(1), ip("10.7.0.15"));
  changed.subnet.reset();
  EXPECT_FALSE(world.server->reconfigure(changed, world.now));
}

TEST(DhcpServer, ALeaseCanBeForgotten) {
  DhcpWorld world;
  ASSERT_EQ(world.lease(1), ip("10.0.2.15"));
  EXPECT_EQ(world.server->forget(ip("10.0.2.77"), world.now).error().code, ENOENT);
  EXPECT_TRUE(world.server->forget(ip("10.0.2.15"), world.now));
  EXPECT_TRUE(world.store.leases.empty());
  EXPECT_EQ(world.events.back().reason, "deleted");
  EXPECT_EQ(world.lease(2), ip("10.0.2.15"));
}

TEST(DhcpServer, CutAndBentPacketsDoNoHarm) {
  DhcpWorld world;
  Say say{.mac = mac_number(1), .client_id = "abc", .host_name = "box", .wants = {1, 3, 6}};
  const auto whole = testing::bytes_of(say);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    world.send_bytes(mac_number(1), cut);
  }
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const std::uint8_t value : std::vector<std::uint8_t>{0x00, 0x01, 0x7f, 0x80, 0xff}) {
      auto bent = whole;
      bent[at] = value;
      world.send_bytes(mac_number(1), bent);
    }
  }
  world.pass(1h);
  world.answers();
  EXPECT_TRUE(world.lease(2));
  EXPECT_LT(world.log.lines.size(), 200U);
}

TEST(DhcpServer, RowsForPeopleAndPrograms) {
  DhcpWorld world;
  ASSERT_TRUE(world.lease(1));
  const Json row = to_json(world.server->leases(world.now).at(0));
  EXPECT_EQ(row["address"], "10.0.2.15");
  EXPECT_EQ(row["mac"], "52:54:00:00:00:01");
  EXPECT_EQ(row["state"], "bound");
  EXPECT_EQ(row["client_id"], "01525400000001");
  EXPECT_EQ(row["expires_s"], world.wall_s + 86400);
  EXPECT_EQ(row["expires"], "2023-11-15T22:13:20Z");
}

}  // namespace
}  // namespace lanyard
