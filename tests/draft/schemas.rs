//! Schemas in the manner of well-known ones.

use super::kit::{Facts, SERVERS, database, draft, program, run_and_compare, same_as_file};

const CASES: [Facts; 9] = [
    Facts {
        schema: "film_rental",
        root: "film",
        view: "film",
        key: "film_id",
        facts: &[
            ("language/name", "SELECT film_id, l.name FROM film JOIN language l USING (language_id)"),
            ("original_language/name", "SELECT film_id, l.name FROM film f LEFT JOIN language l ON l.language_id = f.original_language_id"),
            (
                "actor/*/last_name",
                "SELECT film_id, GROUP_CONCAT(a.last_name) FROM film LEFT JOIN film_actor USING (film_id) LEFT JOIN actor a USING (actor_id) \
                 GROUP BY film_id",
            ),
            (
                "category/*/name",
                "SELECT film_id, GROUP_CONCAT(c.name) FROM film LEFT JOIN film_category USING (film_id) LEFT JOIN category c USING \
                 (category_id) GROUP BY film_id",
            ),
            (
                "inventory/*/rental/*/rental_id",
                "SELECT film_id, GROUP_CONCAT(rental_id) FROM film LEFT JOIN inventory USING (film_id) LEFT JOIN rental USING \
                 (inventory_id) GROUP BY film_id",
            ),
        ],
    },
    Facts {
        schema: "film_rental",
        root: "customer",
        view: "customer",
        key: "customer_id",
        facts: &[
            ("address/city/city", "SELECT customer_id, city FROM customer JOIN address USING (address_id) JOIN city USING (city_id)"),
            ("payment/*/amount", "SELECT customer_id, GROUP_CONCAT(amount) FROM customer LEFT JOIN payment USING (customer_id) GROUP BY 1"),
            (
                "rental/*/inventory/film_id",
                "SELECT customer_id, GROUP_CONCAT(film_id) FROM customer LEFT JOIN rental USING (customer_id) LEFT JOIN inventory USING \
                 (inventory_id) GROUP BY 1",
            ),
        ],
    },
    Facts {
        schema: "hr",
        root: "employees",
        view: "employees",
        key: "employee_id",
        facts: &[
            ("job/job_title", "SELECT employee_id, job_title FROM employees JOIN jobs USING (job_id)"),
            (
                "department/location/city",
                "SELECT employee_id, city FROM employees LEFT JOIN departments USING (department_id) LEFT JOIN locations USING (location_id)",
            ),
            (
                "manager/last_name",
                "SELECT e.employee_id, m.last_name FROM employees e LEFT JOIN employees m ON m.employee_id = e.manager_id",
            ),
            (
                "employees_by_manager/*/last_name",
                "SELECT m.employee_id, GROUP_CONCAT(e.last_name) FROM employees m LEFT JOIN employees e ON e.manager_id = m.employee_id \
                 GROUP BY 1",
            ),
            (
                "job_history/*/job/job_title",
                "SELECT employee_id, GROUP_CONCAT(job_title) FROM employees LEFT JOIN job_history h USING (employee_id) LEFT JOIN jobs j \
                 ON j.job_id = h.job_id GROUP BY 1",
            ),
        ],
    },
    Facts {
        schema: "blog",
        root: "posts",
        view: "posts",
        key: "id",
        facts: &[
            ("author/name", "SELECT p.id, u.name FROM posts p JOIN users u ON u.id = p.author_id"),
            ("editor/name", "SELECT p.id, u.name FROM posts p LEFT JOIN users u ON u.id = p.editor_id"),
            ("author/profile/bio", "SELECT p.id, f.bio FROM posts p LEFT JOIN profiles f ON f.user_id = p.author_id"),
            (
                "tags/*/name",
                "SELECT p.id, GROUP_CONCAT(t.name) FROM posts p LEFT JOIN post_tags l ON l.post_id = p.id LEFT JOIN tags t ON t.id = \
                 l.tag_id GROUP BY 1",
            ),
            ("comments/*/body", "SELECT p.id, GROUP_CONCAT(c.body) FROM posts p LEFT JOIN comments c ON c.post_id = p.id GROUP BY 1"),
            ("page_views/*/ip", "SELECT p.id, GROUP_CONCAT(v.ip) FROM posts p LEFT JOIN page_views v ON v.post_id = p.id GROUP BY 1"),
        ],
    },
    Facts {
        schema: "blog",
        root: "users",
        view: "users",
        key: "id",
        facts: &[
            ("profile/bio", "SELECT id, bio FROM users LEFT JOIN profiles ON user_id = id"),
            (
                "posts_by_author/*/title",
                "SELECT u.id, GROUP_CONCAT(p.title) FROM users u LEFT JOIN posts p ON p.author_id = u.id GROUP BY 1",
            ),
            (
                "followers_followed/*/name",
                "SELECT u.id, GROUP_CONCAT(o.name) FROM users u LEFT JOIN followers f ON f.follower_id = u.id LEFT JOIN users o ON \
                 o.id = f.followed_id GROUP BY 1",
            ),
        ],
    },
    Facts {
        schema: "orm_shop",
        root: "Order",
        view: "Order",
        key: "id",
        facts: &[
            ("user/email", "SELECT o.id, u.email FROM `Order` o JOIN User u ON u.id = o.userId"),
            ("billingAddress/street", "SELECT o.id, a.street FROM `Order` o JOIN Address a ON a.id = o.billingAddressId"),
            ("shippingAddress/street", "SELECT o.id, a.street FROM `Order` o LEFT JOIN Address a ON a.id = o.shippingAddressId"),
            (
                "OrderItem/*/product/sku",
                "SELECT o.id, GROUP_CONCAT(p.sku) FROM `Order` o JOIN OrderItem i ON i.orderId = o.id JOIN Product p ON p.id = \
                 i.productId GROUP BY 1",
            ),
            (
                "OrderItem/*/Return/*/reason",
                "SELECT o.id, GROUP_CONCAT(r.reason) FROM `Order` o LEFT JOIN `Return` r ON r.orderId = o.id GROUP BY 1",
            ),
        ],
    },
    Facts {
        schema: "orm_shop",
        root: "Product",
        view: "Product",
        key: "id",
        facts: &[(
            "Category/*/name",
            "SELECT p.id, GROUP_CONCAT(c.name) FROM Product p LEFT JOIN _CategoryToProduct l ON l.B = p.id LEFT JOIN Category c ON c.id = l.A \
             GROUP BY 1",
        )],
    },
    Facts {
        schema: "no_foreign_keys",
        root: "tbl_orders",
        view: "tbl_orders",
        key: "order_id",
        facts: &[
            ("customer/customer_name", "SELECT order_id, customer_name FROM tbl_orders JOIN tbl_customers USING (customer_id)"),
            ("billing_address/street", "SELECT order_id, street FROM tbl_orders LEFT JOIN tbl_addresses ON id = billing_address_id"),
            (
                "tbl_order_lines/*/product/name",
                "SELECT o.order_id, GROUP_CONCAT(p.name) FROM tbl_orders o LEFT JOIN tbl_order_lines l ON l.order_id = o.order_id LEFT JOIN \
                 tbl_products p ON p.id = l.product_id GROUP BY 1",
            ),
            (
                "tbl_order_lines/*/tbl_shipments/*/id",
                "SELECT o.order_id, GROUP_CONCAT(s.id) FROM tbl_orders o LEFT JOIN tbl_shipments s ON s.order_id = o.order_id GROUP BY 1",
            ),
            (
                "tbl_tags/*/name",
                "SELECT o.order_id, GROUP_CONCAT(t.name) FROM tbl_orders o LEFT JOIN tbl_order_tags l ON l.order_id = o.order_id LEFT JOIN \
                 tbl_tags t ON t.id = l.tag_id GROUP BY 1",
            ),
        ],
    },
    Facts {
        schema: "odd_names",
        root: "order",
        view: "order",
        key: "no",
        facts: &[
            ("a_b", "SELECT no, `a.b` FROM `order`"),
            ("_{HOME}", "SELECT no, `${HOME}` FROM `order`"),
            (
                "line: items/*/dotted_name/x_y",
                "SELECT o.no, GROUP_CONCAT(d.`x.y`) FROM `order` o LEFT JOIN `line: items` l ON l.`order no` = o.no LEFT JOIN `dotted.name` \
                 d ON d.`x.y` = l.`of.other` GROUP BY 1",
            ),
            ("dotted_name/*/x_y", "SELECT o.no, GROUP_CONCAT(l.`d.n`) FROM `order` o LEFT JOIN `link[1]` l ON l.`l.i` = o.no GROUP BY 1"),
        ],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn drafts_are_as_accepted_and_give_what_the_server_gives() {
    for kind in SERVERS {
        for facts in &CASES {
            let database = database(kind, facts.schema).await;
            let program = program(&database);
            let drafted = draft(&program, &database, &["--root", facts.root]);
            assert_eq!(drafted.code, Some(0), "{kind} {}: {}\n{}", facts.schema, drafted.stderr, drafted.stdout);
            same_as_file(&drafted.stdout, &database, &format!("{}.{}.yaml", facts.schema, facts.view));
            assert_eq!(drafted.stderr, "", "{kind} {}", facts.schema);
            run_and_compare(&program, &database, &drafted.stdout, facts).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_root_the_candidates_are_listed() {
    for kind in SERVERS {
        for schema in ["film_rental", "no_foreign_keys"] {
            let database = database(kind, schema).await;
            let listed = draft(&program(&database), &database, &[]);
            assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
            same_as_file(&listed.stdout, &database, &format!("{schema}.txt"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_key_becomes_a_view_of_its_rows() {
    let audit = "{\"happened_at\":\"2024-01-01T00:00:00\",\"what\":\"started\"}\n";
    let odd = "{\"x y\":1,\"j\":null,\"q\\\"r\":null}\n".repeat(2) + "{\"x y\":1,\"j\":{\"a\":1},\"q\\\"r\":\"z\"}\n";
    for (schema, root, view, rows) in
        [("no_foreign_keys", "TBL_AUDIT", "tbl_audit", audit), ("odd_names", "no.key", "no_key", odd.as_str())]
    {
        for kind in SERVERS {
            let database = database(kind, schema).await;
            let program = program(&database);
            let drafted = draft(&program, &database, &["--root", root]);
            assert_eq!((drafted.code, drafted.stderr.as_str()), (Some(0), ""), "{}", drafted.stdout);
            same_as_file(&drafted.stdout, &database, &format!("{schema}.{view}.yaml"));
            program.write("spec.yaml", &drafted.stdout);
            assert_eq!(program.run(&["check", "spec.yaml"]).code, Some(0));
            assert_eq!(program.run(&["run", "spec.yaml", "--until-caught-up"]).code, Some(0));
            let got = program.run(&["get", view, "--state", "spec.state"]);
            assert_eq!(sorted(&got.stdout), sorted(rows));
        }
    }
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_depth_and_a_sink_are_as_asked_for() {
    let database = database("MYSQL", "film_rental").await;
    let program = program(&database);
    let deep = draft(&program, &database, &["--root", "city", "--depth", "0"]);
    assert_eq!(deep.code, Some(0), "{}", deep.stderr);
    assert!(
        !deep.stdout.contains("lookup:\n") && deep.stdout.contains("(`--depth 1` shows them): `address`, `country`."),
        "{}",
        deep.stdout
    );
    let sink = "mongodb://writer:sesame@127.0.0.1:1/?tlsCertificateKeyFilePassword=sesame2";
    let drafted = draft(&program, &database, &["--root", "city", "--depth", "1", "--sink", sink]);
    assert_eq!(drafted.code, Some(0), "{}", drafted.stderr);
    assert!(!drafted.stdout.contains("sesame"), "{}", drafted.stdout);
    same_as_file(&drafted.stdout, &database, "film_rental.city_with_a_sink.yaml");
}
