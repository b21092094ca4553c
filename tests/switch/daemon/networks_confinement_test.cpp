// SPDX-License-Identifier: MIT
#include "switch/daemon/networks_confinement.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>

#include "switch/base/sandbox_probe.h"
#include "switch/base/unix_socket.h"
#include "switch/daemon/spawner_directories.h"
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
    // As the spawner, which has been told.
    made.may_claim = [directories = made.socket_directories()](const std::string& path) {
      return std::any_of(directories.begin(), directories.end(), [&](const std::string& one) {
        return is_below(real_directory_of(path), one);
      });
    };
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

TEST_F(NetworksConfinementTest, NamesSocketsWhereSocketsAreInDirectoriesThatOthersMake) {
  if (!testing::kSandboxCanBeTested) GTEST_SKIP() << "a sanitizer makes calls of its own";
  const NetworksConfinement tested = confinement(configuration(directory / "labs/lab"));
  const auto names = [&](const std::string& place) {
    // As the spawner does for a reload.
    ::mkdir(place.c_str(), 0700);
    return confined(tested, [&]() -> std::string {
      if (::mkdir((place + "/more").c_str(), 0700) == 0) return "a directory";
      const UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      if (!bind_unix(fd.get(), place + "/003.7", {0660, kNoUser, kNoGroup})) return "no name";
      unlink_socket(place + "/003.7");
      return socket_answers(place + "/003.7", SOCK_DGRAM) ? "it stays" : "named and removed";
    });
  };
  EXPECT_EQ(names(directory / "labs/other"), "named and removed");
  EXPECT_EQ(names(directory / "run/other"), "named and removed");
  // Not below /tmp, where plugs have theirs.
  const testing::TemporaryDirectory elsewhere("/var/tmp");
  EXPECT_EQ(names(elsewhere / "other"), "no name");
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
  EXPECT_TRUE(tested.reads(directory / "labs/secret"));
  EXPECT_TRUE(tested.check(configuration(directory / "run/x", {"plug:///run/x"})));
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
}

}  // namespace
}  // namespace lanyard
