// SPDX-License-Identifier: MIT
#include "switch/base/unix_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::mode_of;
using testing::TemporaryDirectory;

UniqueFd socket_of(int type) {
  return UniqueFd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// 0 or the errno of connecting.
int connect_error(int fd, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

class UmaskIs {
 public:
  explicit UmaskIs(mode_t mask) : before_(::umask(mask)) {}
  ~UmaskIs() { ::umask(before_); }

 private:
  mode_t before_;
};

TEST(BindUnix, NamesHaveTheirModeWhateverTheUmaskIs) {
  const TemporaryDirectory directory;
  for (const mode_t mask : {0U, 022U, 077U, 0777U}) {
    const UmaskIs umask_is(mask);
    for (const mode_t mode : {0600U, 0660U, 0666U, 0777U, 0U}) {
      SCOPED_TRACE(fmt::format("umask {:o} mode {:o}", mask, mode));
      const std::string path = directory / "s";
      const UniqueFd fd = socket_of(SOCK_DGRAM);
      ASSERT_TRUE(bind_unix(fd.get(), path, {mode, kNoUser, kNoGroup}).ok());
      EXPECT_EQ(mode_of(path), mode);
      EXPECT_EQ(::umask(mask), mask);  // as it was before
      unlink_socket(path);
    }
  }
}

TEST(BindUnix, SetsOwnerAndGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  const TemporaryDirectory directory;
  const std::string path = directory / "s";
  const UniqueFd fd = socket_of(SOCK_DGRAM);
  ASSERT_TRUE(bind_unix(fd.get(), path, {0600, 12345, 54321}).ok());
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 12345U);
  EXPECT_EQ(info.st_gid, 54321U);
}

TEST(BindUnix, RefusesNamesThatDoNotFit) {
  const UniqueFd fd = socket_of(SOCK_DGRAM);
  const std::string path(kSocketPathMax + 1, 'x');
  const Result<void> bound = bind_unix(fd.get(), path, {});
  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.error().code, ENAMETOOLONG);
  EXPECT_NE(bound.error().text.find("107"), std::string::npos);
}

TEST(BindUnix, TakesTheLongestNameThereIs) {
  const TemporaryDirectory directory;
  std::string path = directory / "";
  path.resize(kSocketPathMax, 'x');
  const UniqueFd fd = socket_of(SOCK_DGRAM);
  EXPECT_TRUE(bind_unix(fd.get(), path, {}).ok());
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
}

TEST(BindUnix, SaysWhichNameAndWhy) {
  const UniqueFd fd = socket_of(SOCK_DGRAM);
  const Result<void> bound = bind_unix(fd.get(), "/nonexistent/s", {});
  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.error().code, ENOENT);
  EXPECT_NE(bound.error().text.find("/nonexistent/s"), std::string::npos);
}

TEST(ListenUnix, AcceptsClients) {
  const TemporaryDirectory directory;
  const std::string path = directory / "ctl";
  const Result<UniqueFd> listening = listen_unix(path, {0660, kNoUser, kNoGroup}, 5);
  ASSERT_TRUE(listening.ok());
  EXPECT_EQ(mode_of(path), 0660U);
  const UniqueFd client = socket_of(SOCK_STREAM);
  EXPECT_EQ(connect_error(client.get(), path), 0);
  EXPECT_TRUE(socket_answers(path, SOCK_STREAM));
}

TEST(ListenUnix, ReplacesANameThatNobodyAnswers) {
  const TemporaryDirectory directory;
  const std::string path = directory / "ctl";
  { ASSERT_TRUE(listen_unix(path, {}, 5).ok()); }
  ASSERT_NE(::access(path.c_str(), F_OK), -1) << "closing leaves the name";
  EXPECT_FALSE(socket_answers(path, SOCK_STREAM));
  const Result<UniqueFd> again = listen_unix(path, {}, 5);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(socket_answers(path, SOCK_STREAM));
}

TEST(ListenUnix, RespectsAnotherListener) {
  const TemporaryDirectory directory;
  const std::string path = directory / "ctl";
  const Result<UniqueFd> first = listen_unix(path, {}, 5);
  const Result<UniqueFd> second = listen_unix(path, {}, 5);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, EADDRINUSE);
  const UniqueFd client = socket_of(SOCK_STREAM);
  EXPECT_EQ(connect_error(client.get(), path), 0) << "the first still answers";
}

TEST(ListenUnix, RespectsAListenerWhoseBacklogIsFull) {
  const TemporaryDirectory directory;
  const std::string path = directory / "ctl";
  const Result<UniqueFd> first = listen_unix(path, {}, 0);
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 10; ++i) {
    waiting.push_back(socket_of(SOCK_STREAM));
    if (connect_error(waiting.back().get(), path) == EAGAIN) break;
  }
  EXPECT_TRUE(socket_answers(path, SOCK_STREAM));
  const Result<UniqueFd> second = listen_unix(path, {}, 5);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, EADDRINUSE);
}

TEST(ListenUnix, DoesNotTakeTheNameOfAFile) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("ctl", "precious");
  const Result<UniqueFd> listening = listen_unix(path, {}, 5);
  ASSERT_FALSE(listening.ok());
  EXPECT_EQ(listening.error().code, EADDRINUSE);
  EXPECT_EQ(testing::content_of(path), "precious");
}

TEST(SocketAnswers, TellsTheLivingFromTheDead) {
  const TemporaryDirectory directory;
  const std::string path = directory / "d";
  EXPECT_FALSE(socket_answers(path, SOCK_DGRAM)) << "no such name";
  {
    const UniqueFd fd = socket_of(SOCK_DGRAM);
    ASSERT_TRUE(bind_unix(fd.get(), path, {}).ok());
    EXPECT_TRUE(socket_answers(path, SOCK_DGRAM));
  }
  EXPECT_FALSE(socket_answers(path, SOCK_DGRAM)) << "its owner is gone";
  EXPECT_FALSE(socket_answers(std::string(300, 'x'), SOCK_STREAM));
}

TEST(SocketAnswers, TakesADatagramSocketThatIsConnectedElsewhereForAlive) {
  const TemporaryDirectory directory;
  const std::string path = directory / "d";
  const std::string other_path = directory / "o";
  const UniqueFd fd = socket_of(SOCK_DGRAM);
  const UniqueFd other = socket_of(SOCK_DGRAM);
  ASSERT_TRUE(bind_unix(fd.get(), path, {}).ok());
  ASSERT_TRUE(bind_unix(other.get(), other_path, {}).ok());
  ASSERT_EQ(connect_error(fd.get(), other_path), 0);
  // Connecting to it is refused with EPERM, which is a sign of life.
  EXPECT_TRUE(socket_answers(path, SOCK_DGRAM));
}

TEST(UnlinkSocket, TakesSocketsAndNothingElse) {
  const TemporaryDirectory directory;
  const std::string file = directory.file("f", "x");
  const std::string link = directory / "l";
  const std::string path = directory / "s";
  const UniqueFd fd = socket_of(SOCK_DGRAM);
  ASSERT_TRUE(bind_unix(fd.get(), path, {}).ok());
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  unlink_socket(file);
  unlink_socket(link);
  unlink_socket(directory / "nothing");
  EXPECT_EQ(::access(file.c_str(), F_OK), 0);
  EXPECT_EQ(::access(link.c_str(), F_OK), 0);
  unlink_socket(path);
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST(PeerIdentity, IsWhatTheKernelKnows) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd a(ends[0]);
  const UniqueFd b(ends[1]);
  const Identity who = peer_identity(a.get());
  EXPECT_EQ(who.uid, ::geteuid());
  EXPECT_EQ(who.gid, ::getegid());
  EXPECT_EQ(who.pid, ::getpid());
  EXPECT_EQ(static_cast<int>(who.groups.size()), ::getgroups(0, nullptr));
}

TEST(PeerIdentity, OfWhatIsNoSocketIsNobody) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  EXPECT_EQ(peer_identity(read_end.get()).uid, kNoUser);
}

}  // namespace
}  // namespace lanyard
