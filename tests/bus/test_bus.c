/* Commands over the bus: answers, order, many clients, restarts, what a bad peer can do. */
#include "bus_fixture.h"

static void a_command_comes_back_with_its_receipt(void **state)
{
    dbk_store *client = served_connect(*state);
    does(client, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"Hello\"}}", "\"ok\":true");
    does(client, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "Hello");
    does(client, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"Hello\"}}", "\"again\":true");
    does(client, "nonsense", "bad_json");
    dbk_close(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_command_comes_back_with_its_receipt, served_setup, served_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
