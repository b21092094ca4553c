// SPDX-License-Identifier: MIT
#include "switch/daemon/networks_confinement.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <cstdio>
#include <set>

#include "switch/base/sandbox_probe.h"
#include "switch/base/unix_socket.h"
#include "switch/network/config_file.h"
#include "tests/support/boxed_child.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

class NetworksConfinementTest : public ::testing::Test {
 protected:
  NetworksConfinementTest() {
    register_builtin_backends(backends);
    for (const char* const name : {"run", "labs", "elsewhere", "etc"}) {
      ::mkdir((directory / name).c_str(), 0700);
    }
  }

  Configuration configuration(const std::string& socket, std::vector<std::string> plugs = {}) {
    Configuration made;
    NetworkConfig& network = made.networks.emplace_back();
    network.name = "lab";
    network.sockets.emplace_back().path = socket;
    network.plugs = std::move(plugs);
    return made;
  }
  NetworksConfinement confinement(const Configuration& of) {
    NetworksConfinement made({.config_file = directory / "etc/lanyard.toml",
                              .control_path = directory / "run/control",
                              .runtime_directory = directory / "run"},
                             backends);
    made.add(of);
    return made;
  }
  // What `work` says in its sandbox.
  template <typename Work>
  std::string confined(const NetworksConfinement& in, Work work) {
    return testing::in_child([&]() -> std::string {
             const auto report = enter_sandbox(in.policy(), SandboxMode::refuse);
             if (!report) return report.error().text;
             return work();
           })
        .said;
  }

  testing::TemporaryDirectory directory;
  BackendRegistry backends;
};

TEST_F(NetworksConfinementTest, RefusesWhatAnIntruderWouldTryAndTheInternet) {
  if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
  const NetworksConfinement tested = confinement(configuration(directory / "labs/lab"));
  EXPECT_EQ(confined(tested,
                     [] {
                       const auto outcomes = probe_sandbox(ProbeNetwork::none);
                       return all_refused(outcomes) ? "all refused" : probe_text(outcomes);
                     }),
            "all refused");
}

TEST_F(NetworksConfinementTest, LetsAReloadMakeSocketsWhereSocketsAre) {
  if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
  const NetworksConfinement tested = confinement(configuration(directory / "labs/lab"));
  const auto makes = [&](const std::string& place) {
    return confined(tested, [&]() -> std::string {
      if (::mkdir(place.c_str(), 0700) != 0) return "no directory";
      const UniqueFd opened(::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!opened) return "it cannot be listed";
      if (!listen_unix(place + "/ctl", {0666, kNoUser, kNoGroup}, 1)) return "no socket";
      unlink_socket(place + "/ctl");
      return ::rmdir(place.c_str()) == 0 ? "made and removed" : "it stays";
    });
  };
  EXPECT_EQ(makes(directory / "labs/other"), "made and removed");
  EXPECT_EQ(makes(directory / "run/other"), "made and removed");
  EXPECT_EQ(makes(directory / "elsewhere/other"), "no directory");
}

TEST_F(NetworksConfinementTest, ReadsItsConfigurationAndWritesNoFile) {
  if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
  const std::string own = directory.file("etc/lanyard.toml", "# nothing\n");
  const std::string other = directory.file("labs/secret", "secret\n");
  const NetworksConfinement tested = confinement(configuration(directory / "labs/lab"));
  const auto opens = [&](const std::string& path, int flags) {
    return confined(tested, [&]() -> std::string {
      const UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC, 0600));
      return file ? "opened" : "refused";
    });
  };
  EXPECT_EQ(opens(own, O_RDONLY), "opened");
  EXPECT_EQ(opens(own, O_WRONLY), "refused");
  EXPECT_EQ(opens(other, O_RDONLY), "refused");
  EXPECT_EQ(opens(directory / "labs/new", O_WRONLY | O_CREAT), "refused");
  EXPECT_TRUE(tested.reads(own));
  EXPECT_TRUE(tested.reads("/etc/lanyard/lanyard.toml"));
  EXPECT_FALSE(tested.reads(other));
}

TEST_F(NetworksConfinementTest, SaysWhatItCannotRun) {
  const NetworksConfinement tested =
      confinement(configuration(directory / "labs/lab", {"plug://" + directory / "labs"}));
  EXPECT_TRUE(tested.obstacles().empty());
  EXPECT_TRUE(tested.check(configuration(directory / "labs/other", {"tap://tap0"})));
  EXPECT_TRUE(tested.check(configuration(directory / "run/x")));
  EXPECT_TRUE(tested.check(configuration(directory / "run/x", {"plug://" + directory / "labs"})));
  const Result<void> elsewhere = tested.check(configuration(directory / "elsewhere/lab"));
  ASSERT_FALSE(elsewhere);
  EXPECT_NE(elsewhere.error().text.find("lanyard upgrade"), std::string::npos);
  EXPECT_FALSE(tested.check(configuration(directory / "run/x", {"record:///tmp/x.pcap"})));
  EXPECT_TRUE(tested.check(configuration(directory / "run/x", {"plug:///run/elsewhere"})));
  Configuration with_plugin = configuration(directory / "run/x");
  with_plugin.networks.front().plugins = {"pdump; pdump/active 1"};
  EXPECT_FALSE(tested.check(with_plugin));
  EXPECT_EQ(confinement(with_plugin).obstacles(),
            std::vector<std::string>{"network lab has the plugin pdump; pdump/active 1"});
}

TEST_F(NetworksConfinementTest, RestrictsNoPathWhereTheKernelDoesNot) {
  NetworksConfinement tested = confinement(configuration(directory / "labs/lab"));
  tested.restricts_paths = false;
  EXPECT_TRUE(tested.check(configuration(directory / "elsewhere/lab", {"plug:///run/x"})));
  EXPECT_FALSE(tested.check(configuration(directory / "run/x", {"record:///tmp/x.pcap"})));
}

TEST_F(NetworksConfinementTest, KnowsPlugsThatNoListFits) {
  for (const char* const plug : {"record:///tmp/x.pcap", "pcap://eth0", "plug://vxvde://"}) {
    EXPECT_EQ(confinement(configuration(directory / "run/x", {plug})).obstacles().size(), 1U)
        << plug;
  }
}

TEST_F(NetworksConfinementTest, KeepsNoCapabilityOfTheNetwork) {
  const SandboxPolicy policy = confinement(configuration(directory / "run/x")).policy();
  for (const int capability : {CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_ADMIN}) {
    EXPECT_EQ(policy.capabilities >> capability & 1, 0U) << capability;
  }
  std::set<std::string_view> names;
  for (const AllowedCall& call : policy.calls) names.insert(call.name);
  std::printf("networks: %zu system calls\n", names.size());
  EXPECT_LE(names.size(), 74U);
}

}  // namespace
}  // namespace lanyard
