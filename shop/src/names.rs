//! The names in the shop: places, categories, payment types, states of an order. Some contain commas, quotes and non-ASCII letters, as real ones
//! do.

/// City and state, the busiest first.
pub(super) const PLACES: &[(&str, &str)] = &[
    ("sao paulo", "SP"),
    ("rio de janeiro", "RJ"),
    ("belo horizonte", "MG"),
    ("brasília", "DF"),
    ("curitiba", "PR"),
    ("campinas", "SP"),
    ("porto alegre", "RS"),
    ("salvador", "BA"),
    ("guarulhos", "SP"),
    ("são bernardo do campo", "SP"),
    ("niterói", "RJ"),
    ("santo andré", "SP"),
    ("osasco", "SP"),
    ("santos", "SP"),
    ("goiânia", "GO"),
    ("são josé dos campos", "SP"),
    ("fortaleza", "CE"),
    ("sorocaba", "SP"),
    ("recife", "PE"),
    ("florianópolis", "SC"),
    ("jundiaí", "SP"),
    ("ribeirão preto", "SP"),
    ("belém", "PA"),
    ("contagem", "MG"),
    ("barueri", "SP"),
    ("vitória", "ES"),
    ("natal", "RN"),
    ("santa bárbara d'oeste", "SP"),
    ("arraial d'ajuda", "BA"),
    ("lages - sc", "SC"),
    ("auriflama/sp", "SP"),
    ("novo hamburgo, rio grande do sul, brasil", "RS"),
    ("rio de janeiro, \"zona sul\"", "RJ"),
    ("joão pessoa", "PB"),
    ("teresina", "PI"),
    ("cuiabá", "MT"),
    ("campo grande", "MS"),
    ("aracaju", "SE"),
    ("maceió", "AL"),
    ("são luís", "MA"),
    ("palmas", "TO"),
    ("porto velho", "RO"),
    ("manaus", "AM"),
    ("macapá", "AP"),
    ("rio branco", "AC"),
    ("boa vista", "RR"),
];

pub(super) const CATEGORIES: &[&str] = &[
    "cama_mesa_banho",
    "beleza_saude",
    "esporte_lazer",
    "moveis_decoracao",
    "informatica_acessorios",
    "utilidades_domesticas",
    "relogios_presentes",
    "telefonia",
    "ferramentas_jardim",
    "automotivo",
    "brinquedos",
    "cool_stuff",
    "perfumaria",
    "bebes",
    "eletronicos",
    "papelaria",
    "fashion_bolsas_e_acessorios",
    "pet_shop",
    "moveis_escritorio",
    "consoles_games",
    "malas_acessorios",
    "construcao_ferramentas_construcao",
    "eletrodomesticos",
    "instrumentos_musicais",
    "eletroportateis",
    "casa_construcao",
    "livros_interesse_geral",
    "alimentos",
    "moveis_sala",
    "audio",
];

/// Payment types and their shares in a thousand.
pub(super) const PAYMENT_TYPES: &[(&str, u64)] = &[("credit_card", 739), ("boleto", 190), ("voucher", 56), ("debit_card", 15)];

/// The states of an order and their shares in a thousand. An order goes through them in this order, except the last two.
pub(super) const STATUSES: &[(&str, u64)] = &[
    ("created", 1),
    ("approved", 1),
    ("processing", 3),
    ("invoiced", 3),
    ("shipped", 11),
    ("delivered", 969),
    ("unavailable", 6),
    ("canceled", 6),
];

pub(super) const CREATED: u8 = 0;
pub(super) const APPROVED: u8 = 1;
pub(super) const SHIPPED: u8 = 4;
pub(super) const DELIVERED: u8 = 5;
pub(super) const UNAVAILABLE: u8 = 6;
pub(super) const CANCELED: u8 = 7;
