// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_message.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <functional>

namespace lanyard {
namespace {

using Kind = SpawnerRequest::Kind;

NetworkConfig network_named(std::string name) {
  NetworkConfig network;
  network.name = std::move(name);
  return network;
}

NetworkConfig a_network() {
  NetworkConfig network;
  network.name = "lab";
  network.kind = NetworkKind::routed;
  network.subnet = Ipv4Prefix::parse("192.168.60.0/24");
  network.subnet6 = Ipv6Prefix::parse("fd00:60::/64");
  network.uplink = "eth0.7";
  network.host.emplace();
  network.host->name = "lanyard0";
  network.host->address = Ipv4Prefix::parse("192.168.60.1/24");
  network.host->address6 = Ipv6Prefix::parse("fd00:60::1/64");
  network.host->mtu = 9000;
  network.host->owner = "alice";
  return network;
}

SpawnerRequest a_request() {
  return {.kind = Kind::claim_host, .id = 0x0123456789abcdef, .network = a_network()};
}

SpawnerRequest of(Kind kind, const std::function<void(SpawnerRequest&)>& change) {
  SpawnerRequest request = a_request();
  request.kind = kind;
  change(request);
  return request;
}

bool passes(const SpawnerRequest& request) {
  return decode_spawner_request(encode_spawner_request(request)).ok();
}

bool host_passes(const std::function<void(NetworkConfig&)>& change) {
  return passes(of(Kind::claim_host, [&](SpawnerRequest& request) { change(request.network); }));
}

TEST(SpawnerRequest, ComesOutAsItWentIn) {
  SpawnerRequest requests[] = {
      a_request(),
      {.kind = Kind::clean_up, .id = 1},
      {.kind = Kind::close_host, .id = 2, .interface = "lanyard0"},
      {.kind = Kind::attach_tap, .id = 3, .interface = "tap%d", .offload = true},
      {.kind = Kind::start_gateway, .id = 4, .network = network_named("nat")},
      {.kind = Kind::end_gateway, .id = 5, .pid = 4711, .signal = SIGTERM},
      {.kind = Kind::listen, .id = 6, .path = "/run/web"},
      {.kind = Kind::allow_directories, .id = 7, .path = "/"},
      {.kind = Kind::claim_directory, .id = 8, .path = "/run/lanyard/lab"},
      {.kind = Kind::listen_in_directory,
       .id = 9,
       .path = "/run/lanyard/lab/ctl",
       .access = {0660, 02770, 100}},
      {.kind = Kind::clean_directory, .id = 10, .path = "/run/lanyard/lab", .remove = true},
      {.kind = Kind::finish, .id = 11},
  };
  for (const SpawnerRequest& request : requests) {
    const std::string bytes = encode_spawner_request(request);
    EXPECT_EQ(bytes.size(), kSpawnerRequestSize);
    const Result<SpawnerRequest> read = decode_spawner_request(bytes);
    ASSERT_TRUE(read) << static_cast<int>(request.kind);
    EXPECT_EQ(read.value(), request);
  }
}

TEST(SpawnerRequest, HasOneSizeAndOneMark) {
  const std::string good = encode_spawner_request(a_request());
  std::string other_mark = good;
  other_mark[0] ^= 1;
  for (const std::string& bytes :
       {std::string(), good.substr(1), good + '\0', good.substr(0, 20), other_mark}) {
    EXPECT_FALSE(decode_spawner_request(bytes)) << bytes.size();
  }
}

TEST(SpawnerRequest, HasNoKindThatNobodyKnows) {
  std::string bytes = encode_spawner_request({.kind = Kind::finish});
  for (int kind = 0; kind < 256; ++kind) {
    bytes[4] = static_cast<char>(kind);
    const bool known = kind >= 1 && kind <= static_cast<int>(SpawnerRequest::kLast);
    const Result<SpawnerRequest> read = decode_spawner_request(bytes);
    EXPECT_LE(read.ok(), known) << kind;
  }
}

// A byte behind a name's end, and one behind the last field.
TEST(SpawnerRequest, HidesNothing) {
  const std::string good = encode_spawner_request(a_request());
  for (const std::size_t at : {good.find("lab") + 4, good.size() - 1}) {
    std::string bytes = good;
    bytes[at] = 'x';
    EXPECT_FALSE(decode_spawner_request(bytes)) << at;
  }
}

TEST(SpawnerRequest, TakesOnlyNamesOfTheirPattern) {
  const auto interface = [](const char* name) {
    return host_passes([=](NetworkConfig& network) { network.host->name = name; });
  };
  EXPECT_TRUE(interface("lanyard0"));
  for (const char* const name : {"", "../../x", "a b", "a;b", "-x", "\"", "sixteen-letters-"}) {
    EXPECT_FALSE(interface(name)) << name;
  }
  for (const char* const name : {"eth0\" accept", "x\n", "a/b"}) {
    EXPECT_FALSE(host_passes([=](NetworkConfig& network) { network.uplink = name; })) << name;
    EXPECT_FALSE(host_passes([=](NetworkConfig& network) { network.name = name; })) << name;
  }
  EXPECT_FALSE(host_passes([](NetworkConfig& network) { network.host->owner = "a b"; }));
  EXPECT_FALSE(host_passes([](NetworkConfig& network) { network.name.assign(33, 'x'); }));
  EXPECT_FALSE(passes({.kind = Kind::start_gateway, .network = network_named("--help")}));
  EXPECT_FALSE(passes({.kind = Kind::attach_tap, .interface = "%d%d"}));
}

TEST(SpawnerRequest, TakesOnlyAddressesThatAHostCanHave) {
  const auto address = [](const char* text) {
    return host_passes(
        [=](NetworkConfig& network) { network.host->address = Ipv4Prefix::parse(text); });
  };
  const auto address6 = [](const char* text) {
    return host_passes(
        [=](NetworkConfig& network) { network.host->address6 = Ipv6Prefix::parse(text); });
  };
  EXPECT_TRUE(address("10.0.0.1/8"));
  for (const char* const text :
       {"0.0.0.0/24", "127.0.0.1/8", "224.0.0.1/24", "1.2.3.4/0", "255.255.255.255/32"}) {
    EXPECT_FALSE(address(text)) << text;
  }
  EXPECT_TRUE(address6("fe80::1/64"));
  for (const char* const text : {"::/64", "::1/128", "ff02::1/64", "2001:db8::1/0"}) {
    EXPECT_FALSE(address6(text)) << text;
  }
  EXPECT_FALSE(host_passes([](NetworkConfig& network) { network.host->mtu = 67; }));
  EXPECT_FALSE(host_passes([](NetworkConfig& network) { network.host->mtu = 65536; }));
}

TEST(SpawnerRequest, HasALengthThatFitsTheAddress) {
  std::string bytes = encode_spawner_request(a_request());
  // The subnet: there, 24 bits, the octets.
  const std::size_t at = bytes.find(std::string("\x01\x18\xc0\xa8\x3c", 5));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 1] = 33;
  EXPECT_FALSE(decode_spawner_request(bytes));
  bytes[at + 1] = 24;
  EXPECT_TRUE(decode_spawner_request(bytes));
  bytes[at] = 2;
  EXPECT_FALSE(decode_spawner_request(bytes)) << "neither there nor not";
  bytes[at] = 0;
  EXPECT_FALSE(decode_spawner_request(bytes)) << "not there, and has octets";
}

TEST(SpawnerRequest, SetsUpNoHostForANetworkThatHasNone) {
  EXPECT_FALSE(host_passes([](NetworkConfig& network) { network.host.reset(); }));
  EXPECT_FALSE(host_passes([](NetworkConfig& network) { network.kind = NetworkKind::nat; }));
}

TEST(SpawnerRequest, SendsTwoSignalsAndNoOther) {
  for (int signal = 0; signal < 65; ++signal) {
    const SpawnerRequest request{.kind = Kind::signal_gateway, .pid = 4711, .signal = signal};
    EXPECT_EQ(passes(request), signal == SIGTERM || signal == SIGKILL) << signal;
  }
  for (const pid_t pid : {-1, 0, 1}) {
    EXPECT_FALSE(passes({.kind = Kind::end_gateway, .pid = pid, .signal = SIGKILL})) << pid;
  }
}

TEST(SpawnerRequest, NamesPathsThatLeadWhereTheySay) {
  const auto path = [](std::string text) {
    return passes({.kind = Kind::listen, .path = std::move(text)});
  };
  EXPECT_TRUE(path("/run/a.b/..c"));
  for (const char* const text : {"", "x", "/", "/run/", "/run/../etc/x", "/./x", "/run/.."}) {
    EXPECT_FALSE(path(text)) << text;
  }
  EXPECT_TRUE(path("/" + std::string(106, 'x')));
  EXPECT_FALSE(path("/" + std::string(107, 'x'))) << "longer than the name of a socket can be";
  EXPECT_TRUE(passes({.kind = Kind::read_configuration, .path = "/" + std::string(1022, 'x')}));
  EXPECT_FALSE(passes({.kind = Kind::read_configuration, .path = "/" + std::string(1023, 'x')}));
}

TEST(SpawnerMessage, ComesOutAsItWentIn) {
  const SpawnerMessage message{.kind = SpawnerMessage::Kind::log,
                               .id = 9,
                               .code = -3,
                               .value = -1,
                               .following = 3,
                               .text = "a line"};
  const Result<SpawnerMessage> read = decode_spawner_message(encode_spawner_message(message));
  ASSERT_TRUE(read);
  EXPECT_EQ(read.value(), message);
  EXPECT_FALSE(decode_spawner_message(encode_spawner_message(message).substr(0, 27)));
}

}  // namespace
}  // namespace lanyard
