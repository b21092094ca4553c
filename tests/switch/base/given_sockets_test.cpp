// SPDX-License-Identifier: MIT
#include "switch/base/given_sockets.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "switch/base/unix_socket.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::TemporaryDirectory;

TEST(GivenSockets, AreFoundByTheirPath) {
  const TemporaryDirectory directory;
  GivenSockets given;
  UniqueFd one = listen_unix(directory / "one", {}, 1).take();
  const int number = one.get();
  ASSERT_TRUE(given.add(std::move(one)));
  ASSERT_TRUE(given.add(listen_unix(directory / "two", {}, 1).take()));
  EXPECT_FALSE(given.take(directory / "three"));
  EXPECT_EQ(given.take(directory / "one").get(), number);
  EXPECT_FALSE(given.take(directory / "one")) << "it has been taken";
  EXPECT_EQ(given.paths(), std::vector<std::string>{directory / "two"});
}

TEST(GivenSockets, AreFoundThroughLinks) {
  const TemporaryDirectory directory;
  std::filesystem::create_directory(directory / "real");
  std::filesystem::create_symlink("real", directory / "link");
  GivenSockets given;
  ASSERT_TRUE(given.add(listen_unix(directory / "link/ctl", {}, 1).take()));
  EXPECT_TRUE(given.take(directory / "real/ctl"));
}

TEST(GivenSockets, DoNotBlockAndAreNotInherited) {
  const TemporaryDirectory directory;
  UniqueFd socket = listen_unix(directory / "one", {}, 1).take();
  ::fcntl(socket.get(), F_SETFL, 0);
  ::fcntl(socket.get(), F_SETFD, 0);
  GivenSockets given;
  ASSERT_TRUE(given.add(std::move(socket)));
  const UniqueFd taken = given.take(directory / "one");
  EXPECT_NE(::fcntl(taken.get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(taken.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(GivenSockets, AreUnixStreamSocketsThatListen) {
  const TemporaryDirectory directory;
  GivenSockets given;
  const auto made = [](int family, int type) { return UniqueFd(::socket(family, type, 0)); };
  EXPECT_FALSE(given.add(UniqueFd(::open("/dev/null", O_RDONLY))));
  EXPECT_FALSE(given.add(made(AF_UNIX, SOCK_STREAM)));
  EXPECT_FALSE(given.add(made(AF_UNIX, SOCK_DGRAM)));
  EXPECT_FALSE(given.add(made(AF_INET, SOCK_STREAM)));
  UniqueFd nameless = made(AF_UNIX, SOCK_SEQPACKET);
  EXPECT_FALSE(given.add(std::move(nameless)));
  EXPECT_TRUE(given.paths().empty());
}

}  // namespace
}  // namespace lanyard
