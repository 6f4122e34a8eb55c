# gnuplot rates.gp makes rates.svg; with -e "format='png'", rates.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'rates.'.format
set datafile separator ','
heading = "Measured and claimed factor per step"."\n"."Theorem 2: rates of preconditioned descent on PL problems (float64, the same at every scale)"
set title heading
set style data points
set pointsize 1.5
set xlabel 'row of rates.csv'
set ylabel 'largest factor per step'
set key top left
set yrange [0:1.2]
set xrange [-0.5:*]
plot 'rates.csv' using 0:5 every ::1 pt 6 title 'claimed', '' using 0:6 every ::1 pt 7 title 'measured'
