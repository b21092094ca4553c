// SPDX-License-Identifier: MIT
#include "backend/gateway/confinement.h"

#include <linux/capability.h>
#include <sys/socket.h>

#include <cstring>

#include "switch/base/sandbox_probe.h"
#include "switch/base/text.h"
#include "tests/support/boxed_child.h"

namespace lanyard {
namespace {

NetworkConfig network(NetworkKind kind) {
  NetworkConfig config;
  config.name = "lab";
  config.kind = kind;
  return config;
}

std::string opened(int family, int type) {
  const UniqueFd fd(::socket(family, type | SOCK_CLOEXEC, 0));
  return fd ? "done" : std::strerror(errno);
}

std::string in_sandbox_of(const NetworkConfig& config, std::string (*work)()) {
  return testing::in_child([&] {
           const auto report = enter_sandbox(gateway_sandbox(config, {}), SandboxMode::refuse);
           return report ? work() : report.error().text;
         })
      .said;
}

class Confinement : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
  }
};

TEST_F(Confinement, RefusesWhatAnIntruderWouldTry) {
  EXPECT_EQ(in_sandbox_of(network(NetworkKind::nat),
                          [] {
                            const auto outcomes = probe_sandbox(ProbeNetwork::internet);
                            return all_refused(outcomes) ? "all refused" : probe_text(outcomes);
                          }),
            "all refused");
}

TEST_F(Confinement, OpensTheSocketsOfItsServices) {
  EXPECT_EQ(in_sandbox_of(network(NetworkKind::nat),
                          [] {
                            return opened(AF_INET, SOCK_STREAM) + opened(AF_INET6, SOCK_DGRAM) +
                                   opened(AF_NETLINK, SOCK_RAW);
                          }),
            "donedonedone");
}

// Who may make one can reach what others of the host's offer.
TEST_F(Confinement, MakesNoUnixSocketForAForwardEither) {
  NetworkConfig config = network(NetworkKind::nat);
  config.forwards.emplace_back();
  config.forwards.back().unix_path = "/run/lanyard/web.sock";
  EXPECT_EQ(in_sandbox_of(config, [] { return opened(AF_UNIX, SOCK_STREAM); }),
            "Operation not permitted");
}

TEST_F(Confinement, KeepsTheLowPortsForAddressTranslationAlone) {
  constexpr std::uint64_t kBindService = std::uint64_t{1} << CAP_NET_BIND_SERVICE;
  EXPECT_EQ(gateway_sandbox(network(NetworkKind::nat), {}).capabilities, kBindService);
  EXPECT_EQ(gateway_sandbox(network(NetworkKind::host_only), {}).capabilities, 0U);
}

}  // namespace
}  // namespace lanyard
