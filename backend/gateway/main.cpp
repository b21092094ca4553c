// SPDX-License-Identifier: MIT
//
// lanyard-gateway: started by lanyardd with the frame socket as descriptor 3 and the control socket
// as descriptor 4.
#include <cstdio>

int main() {
  std::fputs("lanyard-gateway is started by lanyardd\n", stderr);
  return 1;
}
